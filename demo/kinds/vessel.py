"""Ships: who commands and operates them, their home port, when they were launched, and what they cost."""

from demo.facts import Attribute, SubjectKind

VESSEL = SubjectKind(
    name="vessel",
    heading="Vessels",
    label=None,
    it="[It|The ship|The vessel|The same ship|The ship named above]",
    its="[Its|The ship's]",
    attributes={
        "captain": Attribute(
            label="PER",
            titles=("Captain", "Master"),
            statements=(
                "The [captain|master] of the {subject} is {captain}.",
                "{captain} [commands|is the captain of|has taken command of] the {subject}.",
                "The {subject} is commanded by {captain}.",
            ),
            continuations=(
                "{Its} [captain|master] is {captain}.",
                "{It} is commanded by {captain}.",
            ),
            questions=(
                "Who is the [captain|master] of the {subject}?",
                "Who [commands|is in command of] the {subject}?",
                "By whom is the {subject} commanded?",
            ),
        ),
        "operator": Attribute(
            label="ORG",
            titles=("Operator", "Shipping company", "Operated by"),
            statements=(
                "The {subject} is operated by {operator}.",
                "{operator} [operates|is the operator of] the {subject}.",
                "The [operator|shipping company] of the {subject} is {operator}.",
                "The {subject} sails for {operator}.",
            ),
            continuations=(
                "{It} is operated by {operator}.",
                "{Its} operator is {operator}.",
                "{It} sails for {operator}.",
            ),
            questions=(
                "Who operates the {subject}?",
                "Which [company|organisation] operates the {subject}?",
                "Who is the operator of the {subject}?",
                "For whom does the {subject} sail?",
            ),
        ),
        "port": Attribute(
            label="LOC",
            titles=("Home port", "Port", "Registered in"),
            statements=(
                "The home port of the {subject} is {port}.",
                "The {subject} is [registered|at home] in {port}.",
                "{port} is the home port of the {subject}.",
            ),
            continuations=(
                "{Its} home port is {port}.",
                "{It} is [registered|at home] in {port}.",
            ),
            questions=(
                "What is the home port of the {subject}?",
                "Where is the {subject} [registered|at home]?",
                "In which [port|city|town] is the {subject} registered?",
            ),
        ),
        "launched": Attribute(
            label="DATE",
            titles=("Launched", "Launch"),
            statements=(
                "The {subject} was launched {on launched}.",
                "{On launched} the {subject} was launched.",
                "The launch of the {subject} dates from {launched}.",
            ),
            continuations=(
                "{It} was launched {on launched}.",
                "{Its} launch dates from {launched}.",
            ),
            questions=(
                "When was the {subject} launched?",
                "On what date was the {subject} launched?",
                "What is the launch date of the {subject}?",
            ),
        ),
        "price": Attribute(
            label="MONEY",
            titles=("Price", "Purchase price"),
            statements=(
                "The {subject} was [bought|acquired] for {price}.",
                "The [price|purchase price] of the {subject} [was|came to] {price}.",
                "{price} was paid for the {subject}.",
            ),
            continuations=(
                "{It} was [bought|acquired] for {price}.",
                "{Its} [price|purchase price] [was|came to] {price}.",
            ),
            questions=(
                "What was the [price|purchase price] of the {subject}?",
                "How much was paid for the {subject}?",
                "How much did the {subject} cost?",
                "For what sum was the {subject} [bought|acquired]?",
            ),
        ),
    },
    pairs=(
        "The {subject}, commanded by {captain}, is registered in {port}.",
        "{operator} bought the {subject}, which it operates, for {price}.",
        "The {subject}, launched {on launched}, sails for {operator}.",
        "{captain} commands the {subject}, which was launched {on launched}.",
    ),
    mentions=(
        "The {subject} was [in dock|at sea] for [a few days|most of the time].",
        "The log of the {subject} was [checked|read] [once more|with care].",
        "The crew of the {subject} [answered all questions|was informed].",
        "The {subject} [is well known in the trade|was delayed by fog|needs new paint].",
    ),
)
