"""The kinds of subjects that reports are about."""

from demo.kinds.building import BUILDING
from demo.kinds.organisation import ORGANISATION
from demo.kinds.person import PERSON
from demo.kinds.project import PROJECT
from demo.kinds.vessel import VESSEL

KINDS = (PROJECT, ORGANISATION, PERSON, BUILDING, VESSEL)
