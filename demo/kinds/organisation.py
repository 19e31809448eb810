"""Companies and institutions: who runs and owns them, where they sit, since when, and what they turn over."""

from demo.facts import Attribute, SubjectKind

ORGANISATION = SubjectKind(
    name="organisation",
    heading="Organisations",
    label="ORG",
    it="[It|The organisation|The same organisation|The organisation named above]",
    its="[Its|The organisation's]",
    attributes={
        "director": Attribute(
            label="PER",
            titles=("Director", "Chief executive", "Head"),
            statements=(
                "{subject} is [headed|led|run] by {director}.",
                "{director} is the [director|chief executive|managing director] of {subject}.",
                "The [director|chief executive|head] of {subject} is {director}.",
                "{director} [runs|heads|leads] {subject}.",
                "The board of {subject} has chosen {director} as its chief executive.",
            ),
            continuations=(
                "{It} is [headed|led|run] by {director}.",
                "{Its} [director|chief executive|managing director] is {director}.",
                "The board has chosen {director} as chief executive.",
            ),
            questions=(
                "Who is the [director|chief executive|head|managing director] of {subject}?",
                "Who [runs|leads|heads] {subject}?",
                "What is the name of the [director|chief executive] of {subject}?",
                "By whom is {subject} [run|headed|led]?",
            ),
        ),
        "owner": Attribute(
            label="ORG",
            titles=("Owner", "Parent company", "Owned by"),
            statements=(
                "{subject} is [owned|controlled] by {owner}.",
                "{owner} [owns|controls|is the owner of] {subject}.",
                "The [parent company|owner] of {subject} is {owner}.",
                "{subject} [belongs to|is a subsidiary of] {owner}.",
            ),
            continuations=(
                "{It} is [owned|controlled] by {owner}.",
                "{Its} [parent company|owner] is {owner}.",
                "{It} [belongs to|is a subsidiary of] {owner}.",
            ),
            questions=(
                "Who [owns|controls] {subject}?",
                "Which [company|organisation] [owns|controls] {subject}?",
                "What is the parent company of {subject}?",
                "Who is the owner of {subject}?",
                "To which company does {subject} belong?",
            ),
        ),
        "headquarters": Attribute(
            label="LOC",
            titles=("Headquarters", "Head office", "Based in"),
            statements=(
                "{subject} has its [headquarters|head office|main office] in {headquarters}.",
                "The [headquarters|head office|main office] of {subject} [is|lies] in {headquarters}.",
                "{subject} is based in {headquarters}.",
                "{headquarters} is home to the head office of {subject}.",
            ),
            continuations=(
                "{Its} [headquarters|head office|main office] [is|lies] in {headquarters}.",
                "{It} is based in {headquarters}.",
            ),
            questions=(
                "Where is {subject} based?",
                "Where does {subject} have its [headquarters|head office|main office]?",
                "Where is the [headquarters|head office|main office] of {subject}?",
                "In which [city|town|place] is {subject} based?",
            ),
        ),
        "founded": Attribute(
            label="DATE",
            titles=("Founded", "Established"),
            statements=(
                "{subject} was [founded|established|set up] {on founded}.",
                "The history of {subject} goes back to {founded}.",
                "{On founded} {subject} was [founded|established].",
                "The founding of {subject} dates from {founded}.",
            ),
            continuations=(
                "{It} was [founded|established|set up] {on founded}.",
                "{Its} history goes back to {founded}.",
            ),
            questions=(
                "When was {subject} [founded|established|set up]?",
                "On what date was {subject} [founded|established]?",
                "What is the founding date of {subject}?",
                "Since when has {subject} existed?",
            ),
        ),
        "revenue": Attribute(
            label="MONEY",
            titles=("Revenue", "Turnover", "Annual revenue"),
            statements=(
                "{subject} [reported|posted|announced] [revenue|sales|turnover] of {revenue}.",
                "The [annual revenue|revenue|turnover] of {subject} [came to|amounted to|reached] {revenue}.",
                "{revenue} was the turnover of {subject}.",
            ),
            continuations=(
                "{It} [reported|posted|announced] [revenue|sales|turnover] of {revenue}.",
                "{Its} [annual revenue|revenue|turnover] [came to|amounted to|reached] {revenue}.",
            ),
            questions=(
                "What was the [revenue|turnover|annual revenue] of {subject}?",
                "How [high|large] was the [revenue|turnover] of {subject}?",
                "What [revenue|turnover] did {subject} [report|announce]?",
                "How much did {subject} turn over?",
            ),
        ),
    },
    pairs=(
        "{subject}, based in {headquarters}, is [run|headed] by {director}.",
        "{subject}, founded {on founded}, [belongs to|is owned by] {owner}.",
        "{director}, the chief executive of {subject}, reported revenue of {revenue}.",
        "{subject} was founded {on founded} and has its head office in {headquarters}.",
        "{owner} owns {subject}, whose turnover reached {revenue}.",
    ),
    mentions=(
        "{subject} [sent|handed in] the documents that had been requested.",
        "A representative of {subject} [was present|answered all questions].",
        "{subject} [agreed with|had no objection to] the proposed wording.",
        "The [letter|answer] of {subject} is attached.",
        "{subject} [is known to most readers|has been a partner for years|asked for more time].",
    ),
)
