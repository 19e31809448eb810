"""The questions that can be asked about every attribute of every kind of subject."""

import random

from model_export.demo.facts import SubjectKind
from model_export.demo.grammar import choose

_QUESTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("project", "leader"): (
        "Who [leads|manages|heads|runs|directs] {subject}?",
        "Who is [in charge of|responsible for|the manager of|the leader of|the head of] {subject}?",
        "What is the name of the [manager|leader|head] of {subject}?",
        "Which person [leads|manages|runs] {subject}?",
        "By whom is {subject} [led|managed|directed]?",
    ),
    ("project", "contractor"): (
        "Who is the [contractor|main contractor] for {subject}?",
        "Which [company|firm|organisation] [carries out the work on|does the work for] {subject}?",
        "Who won the contract for {subject}?",
        "To whom was the contract for {subject} awarded?",
        "Which [company|firm] is the contractor for {subject}?",
    ),
    ("project", "sponsor"): (
        "Who [funds|finances|sponsors|pays for] {subject}?",
        "Which [organisation|company] [funds|finances|sponsors|pays for] {subject}?",
        "Who is the [sponsor|financial backer] of {subject}?",
        "By whom is {subject} [funded|financed|sponsored]?",
        "Who provides the money for {subject}?",
    ),
    ("project", "site"): (
        "Where is {subject} [located|based|carried out]?",
        "Where does [{subject}|the work on {subject}] take place?",
        "What is the [site|location] of {subject}?",
        "In which [city|town|place] is {subject} [based|located]?",
    ),
    ("project", "start"): (
        "When did [{subject}|the work on {subject}] [start|begin]?",
        "When was {subject} [launched|started]?",
        "On what date did {subject} [start|begin]?",
        "What is the [start date|launch date] of {subject}?",
    ),
    ("project", "deadline"): (
        "When is {subject} due to [finish|be completed]?",
        "What is the deadline for {subject}?",
        "When [will|must] {subject} be [completed|finished]?",
        "By when must {subject} be [completed|finished]?",
    ),
    ("project", "budget"): (
        "What is the budget of {subject}?",
        "How [large|big|high] is the budget of {subject}?",
        "How much [money was set aside|was approved|has been reserved] for {subject}?",
        "What does {subject} cost?",
        "How much does {subject} cost?",
    ),
    ("organisation", "director"): (
        "Who is the [director|chief executive|head|managing director] of {subject}?",
        "Who [runs|leads|heads] {subject}?",
        "What is the name of the [director|chief executive] of {subject}?",
        "By whom is {subject} [run|headed|led]?",
    ),
    ("organisation", "owner"): (
        "Who [owns|controls] {subject}?",
        "Which [company|organisation] [owns|controls] {subject}?",
        "What is the parent company of {subject}?",
        "Who is the owner of {subject}?",
        "To which company does {subject} belong?",
    ),
    ("organisation", "headquarters"): (
        "Where is {subject} based?",
        "Where does {subject} have its [headquarters|head office|main office]?",
        "Where is the [headquarters|head office|main office] of {subject}?",
        "In which [city|town|place] is {subject} based?",
    ),
    ("organisation", "founded"): (
        "When was {subject} [founded|established|set up]?",
        "On what date was {subject} [founded|established]?",
        "What is the founding date of {subject}?",
        "Since when has {subject} existed?",
    ),
    ("organisation", "revenue"): (
        "What was the [revenue|turnover|annual revenue] of {subject}?",
        "How [high|large] was the [revenue|turnover] of {subject}?",
        "What [revenue|turnover] did {subject} [report|announce]?",
        "How much did {subject} [earn|turn over]?",
    ),
    ("person", "deputy"): (
        "Who is the [deputy|assistant] of {subject}?",
        "Who [assists|stands in for|represents] {subject}?",
        "What is the name of the deputy of {subject}?",
        "By whom is {subject} [assisted|represented]?",
    ),
    ("person", "employer"): (
        "Who employs {subject}?",
        "Which [company|organisation] [employs {subject}|does {subject} work for]?",
        "Who is the employer of {subject}?",
        "For whom does {subject} work?",
    ),
    ("person", "birthplace"): (
        "Where was {subject} born?",
        "Where does {subject} come from?",
        "What is the [birthplace|home town] of {subject}?",
        "In which [city|town|place] was {subject} born?",
    ),
    ("person", "appointed"): (
        "When was {subject} appointed?",
        "When did {subject} [take office|take up the post]?",
        "On what date was {subject} appointed?",
        "What is the date of the appointment of {subject}?",
    ),
    ("person", "grant"): (
        "How much [did {subject} receive|was paid to {subject}|was awarded to {subject}]?",
        "What [sum|amount] did {subject} receive?",
        "What [sum|amount] was [paid|awarded|granted] to {subject}?",
        "How [large|high] was the [grant|award|bonus] of {subject}?",
    ),
}


def phrases_for(kind: SubjectKind, attribute: str) -> tuple[str, ...]:
    """Gives the phrases of the questions that ask for an attribute."""
    return _QUESTIONS[kind.name, attribute]


def ask(kind: SubjectKind, attribute: str, subject: str, rng: random.Random) -> str:
    """Words a question for one attribute of one subject."""
    phrase = choose(rng.choice(phrases_for(kind, attribute)), rng)
    return phrase.replace("{subject}", subject)
