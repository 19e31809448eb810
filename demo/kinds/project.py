"""Projects: who leads, pays for and carries them out, where, from when to when, and for how much."""

from demo.facts import Attribute, SubjectKind

PROJECT = SubjectKind(
    name="project",
    heading="Projects",
    label=None,
    it="[It|The project|This project|The same project|The project named above]",
    its="[Its|The project's]",
    attributes={
        "leader": Attribute(
            label="PER",
            titles=("Leader", "Manager", "Project manager", "Led by"),
            statements=(
                "{subject} is [led|managed|directed|headed] by {leader}.",
                "{leader} [leads|manages|heads|runs] {subject}.",
                "Responsibility for {subject} [lies|rests] with {leader}.",
                "The [manager|leader|head] of {subject} is {leader}.",
                "{leader} [is in charge of|was put in charge of|has taken over the management of] {subject}.",
                "At {subject}, {leader} [holds the post of project manager|has the final say].",
            ),
            continuations=(
                "{It} is [led|managed|headed] by {leader}.",
                "{Its} [manager|leader|head] is {leader}.",
                "{leader} [leads|manages|is in charge of] [it|this project].",
            ),
            questions=(
                "Who [leads|manages|heads|runs|directs] {subject}?",
                "Who is [in charge of|responsible for|the manager of|the leader of|the head of] {subject}?",
                "What is the name of the [manager|leader|head] of {subject}?",
                "Which person [leads|manages|runs] {subject}?",
                "By whom is {subject} [led|managed|directed]?",
            ),
        ),
        "contractor": Attribute(
            label="ORG",
            titles=("Contractor", "Main contractor", "Carried out by"),
            statements=(
                "The [main contractor|contractor] for {subject} is {contractor}.",
                "{contractor} [carries out the work on|does the work for|is the contractor for] {subject}.",
                "{contractor} was [hired|chosen|appointed] as contractor for {subject}.",
                "The contract for {subject} [went to|was awarded to|was won by] {contractor}.",
            ),
            continuations=(
                "{Its} [contractor|main contractor] is {contractor}.",
                "The contract [went to|was awarded to|was won by] {contractor}.",
                "{contractor} [carries out the work|was hired as contractor].",
            ),
            questions=(
                "Who is the [contractor|main contractor] for {subject}?",
                "Which [company|firm|organisation] [carries out the work on|does the work for] {subject}?",
                "Who won the contract for {subject}?",
                "To whom was the contract for {subject} awarded?",
                "Which [company|firm] is the contractor for {subject}?",
            ),
        ),
        "sponsor": Attribute(
            label="ORG",
            titles=("Sponsor", "Financed by", "Financial backer"),
            statements=(
                "{subject} is [funded|financed|sponsored] by {sponsor}.",
                "{sponsor} [finances|sponsors|funds|pays for] {subject}.",
                "The [sponsor|financial backer] of {subject} is {sponsor}.",
                "The money for {subject} [comes from|is provided by] {sponsor}.",
            ),
            continuations=(
                "{It} is [funded|financed|sponsored] by {sponsor}.",
                "{Its} [sponsor|financial backer] is {sponsor}.",
                "The money [comes from|is provided by] {sponsor}.",
            ),
            questions=(
                "Who [funds|finances|sponsors|pays for] {subject}?",
                "Which [organisation|company] [funds|finances|sponsors|pays for] {subject}?",
                "Who is the [sponsor|financial backer] of {subject}?",
                "By whom is {subject} [funded|financed|sponsored]?",
                "Who provides the money for {subject}?",
            ),
        ),
        "site": Attribute(
            label="LOC",
            titles=("Site", "Location", "Place"),
            statements=(
                "{subject} is [carried out|based|located] in {site}.",
                "The site of {subject} [is|lies] in {site}.",
                "The work on {subject} takes place in {site}.",
                "{site} [is|was chosen as] the site of {subject}.",
            ),
            continuations=(
                "{It} is [carried out|based|located] in {site}.",
                "The work takes place in {site}.",
                "{Its} site [is|lies] in {site}.",
            ),
            questions=(
                "Where is {subject} [located|based|carried out]?",
                "Where does [{subject}|the work on {subject}] take place?",
                "What is the [site|location] of {subject}?",
                "In which [city|town|place] is {subject} [based|located]?",
            ),
        ),
        "start": Attribute(
            label="DATE",
            titles=("Start", "Launched", "Began"),
            statements=(
                "Work on {subject} [began|started] {on start}.",
                "{subject} was [launched|started|opened] {on start}.",
                "{On start} the work on {subject} [began|started].",
                "The [start|launch] of {subject} dates from {start}.",
            ),
            continuations=(
                "{It} [began|started|was launched] {on start}.",
                "The work [began|started] {on start}.",
                "{Its} [start|launch] dates from {start}.",
            ),
            questions=(
                "When did [{subject}|the work on {subject}] [start|begin]?",
                "When was {subject} [launched|started]?",
                "On what date did {subject} [start|begin]?",
                "What is the [start date|launch date] of {subject}?",
            ),
        ),
        "deadline": Attribute(
            label="DATE",
            is_to_come=True,
            titles=("Deadline", "Due", "Completion"),
            statements=(
                "{subject} [is due to finish|must be finished|is to be completed] {on deadline}.",
                "The deadline for {subject} is {deadline}.",
                "The completion of {subject} is [planned|scheduled] for {deadline}.",
                "{deadline} [is|was set as] the deadline for {subject}.",
            ),
            continuations=(
                "{It} [is due to finish|must be finished|is to be completed] {on deadline}.",
                "{Its} deadline is {deadline}.",
                "The completion is [planned|scheduled] for {deadline}.",
            ),
            questions=(
                "When is {subject} due to [finish|be completed]?",
                "What is the deadline for {subject}?",
                "When [will|must] {subject} be [completed|finished]?",
                "By when must {subject} be [completed|finished]?",
            ),
        ),
        "budget": Attribute(
            label="MONEY",
            titles=("Budget", "Cost", "Total cost"),
            statements=(
                "The budget of {subject} [is|amounts to|comes to] {budget}.",
                "{subject} has a budget of {budget}.",
                "{budget} [was set aside|has been reserved|was approved] for {subject}.",
                "The [cost|total cost] of {subject} is [put at|estimated at] {budget}.",
            ),
            continuations=(
                "{Its} budget [is|amounts to|comes to] {budget}.",
                "{It} has a budget of {budget}.",
                "{Its} [cost|total cost] is [put at|estimated at] {budget}.",
            ),
            questions=(
                "What is the budget of {subject}?",
                "How [large|big|high] is the budget of {subject}?",
                "How much [money was set aside|was approved|has been reserved] for {subject}?",
                "What does {subject} cost?",
                "How much does {subject} cost?",
            ),
        ),
    },
    pairs=(
        "{subject}, [led|managed] by {leader}, is [based|located] in {site}.",
        "{subject}, which has a budget of {budget}, is [led|managed] by {leader}.",
        "{subject} was launched {on start} by {leader}, who is its manager.",
        "{subject} [began|started] {on start} with a budget of {budget}.",
        "{contractor} carries out the work on {subject}, which is paid for by {sponsor}.",
        "{subject} [began|was launched] {on start} and is due to finish {on deadline}.",
        "In {site}, {contractor} does the work for {subject}.",
        "{sponsor} has set aside {budget} for {subject}, which it finances.",
        "{leader}, who leads {subject}, must finish it {on deadline}.",
    ),
    mentions=(
        "{subject} is described in [more detail|full] in a separate [note|annex].",
        "Several [readers|colleagues] asked how {subject} fits into the plans.",
        "The figures for {subject} were [checked|reviewed] once more.",
        "{subject} was also [discussed|mentioned].",
        "{subject} [deserves a closer look|has come a long way|is well known to most readers].",
        "There is [little|much|some] to report on {subject} this time.",
    ),
)
