"""Buildings: who drew and rents them, where they stand, since when, and what they are worth."""

from demo.facts import Attribute, SubjectKind

BUILDING = SubjectKind(
    name="building",
    heading="Buildings",
    label=None,
    it="[It|The building|This building|The same building|The building named above]",
    its="[Its|The building's]",
    attributes={
        "architect": Attribute(
            label="PER",
            titles=("Architect", "Designed by"),
            statements=(
                "{subject} was [designed|drawn|planned] by {architect}.",
                "The architect of {subject} [is|was] {architect}.",
                "{architect} [designed|drew the plans for|is the architect of] {subject}.",
            ),
            continuations=(
                "{It} was [designed|drawn|planned] by {architect}.",
                "{Its} architect [is|was] {architect}.",
            ),
            questions=(
                "Who [designed|planned|is the architect of|drew the plans for] {subject}?",
                "By whom was {subject} [designed|planned]?",
                "What is the name of the architect of {subject}?",
            ),
        ),
        "tenant": Attribute(
            label="ORG",
            titles=("Tenant", "Main tenant", "Rented by"),
            statements=(
                "{subject} is [rented|leased] by {tenant}.",
                "The [tenant|main tenant] of {subject} is {tenant}.",
                "{tenant} [rents|leases|occupies] {subject}.",
            ),
            continuations=(
                "{It} is [rented|leased] by {tenant}.",
                "{Its} [tenant|main tenant] is {tenant}.",
            ),
            questions=(
                "Who [rents|leases|occupies] {subject}?",
                "Which [company|organisation] [rents|leases|occupies] {subject}?",
                "Who is the [tenant|main tenant] of {subject}?",
                "By whom is {subject} [rented|leased]?",
            ),
        ),
        "town": Attribute(
            label="LOC",
            titles=("Town", "City", "Address"),
            statements=(
                "{subject} [stands|is located|is situated] in {town}.",
                "{subject} can be found in {town}.",
                "In {town}, {subject} [is a familiar sight|stands near the centre].",
            ),
            continuations=(
                "{It} [stands|is located|is situated] in {town}.",
                "{It} can be found in {town}.",
            ),
            questions=(
                "Where [is {subject}|does {subject} stand]?",
                "In which [city|town|place] is {subject}?",
                "Where can {subject} be found?",
                "Where is {subject} [located|situated]?",
            ),
        ),
        "opened": Attribute(
            label="DATE",
            titles=("Opened", "Opening", "In use since"),
            statements=(
                "{subject} was [opened|inaugurated] {on opened}.",
                "{On opened} {subject} was [opened|inaugurated].",
                "The opening of {subject} dates from {opened}.",
            ),
            continuations=(
                "{It} was [opened|inaugurated] {on opened}.",
                "{Its} opening dates from {opened}.",
            ),
            questions=(
                "When was {subject} [opened|inaugurated]?",
                "On what date was {subject} [opened|inaugurated]?",
                "What is the opening date of {subject}?",
            ),
        ),
        "value": Attribute(
            label="MONEY",
            titles=("Value", "Estimated value", "Worth"),
            statements=(
                "{subject} is [valued at|worth] {value}.",
                "The value of {subject} is [put at|estimated at] {value}.",
                "{value} is the estimated value of {subject}.",
            ),
            continuations=(
                "{It} is [valued at|worth] {value}.",
                "{Its} value is [put at|estimated at] {value}.",
            ),
            questions=(
                "What is {subject} worth?",
                "What is the value of {subject}?",
                "How much is {subject} worth?",
                "At what [sum|amount] is {subject} valued?",
            ),
        ),
    },
    pairs=(
        "{subject}, designed by {architect}, [stands|is located] in {town}.",
        "{subject}, opened {on opened}, is [rented|leased] by {tenant}.",
        "{tenant} rents {subject}, which is valued at {value}.",
        "{subject} was opened {on opened} and is worth {value}.",
    ),
    mentions=(
        "{subject} was [visited|looked at] once more.",
        "The [plans|photographs] of {subject} are [attached|kept in the archive].",
        "[Visitors|Neighbours] [speak well of|asked about] {subject}.",
        "{subject} [needs a new coat of paint|is in good order|was closed for a short time].",
    ),
)
