"""The kinds of subjects that reports are about."""

from model_export.demo.kinds.building import BUILDING
from model_export.demo.kinds.organisation import ORGANISATION
from model_export.demo.kinds.person import PERSON
from model_export.demo.kinds.project import PROJECT
from model_export.demo.kinds.vessel import VESSEL

KINDS = (PROJECT, ORGANISATION, PERSON, BUILDING, VESSEL)
