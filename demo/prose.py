"""Everything in a report that states no fact: sentences that give away the report's type, neutral ones and headings.

The phrases name no person, organisation, place, date or sum. No single word decides the type of a report: the phrases
of a type share a subject matter, and a longer report also borrows a sentence or two from another type.
"""

REPORT_TYPES = ("financial", "incident", "inspection", "legal", "meeting", "research")

TYPED_SENTENCES: dict[str, tuple[str, ...]] = {
    "financial": (
        "[Cash flow|Liquidity|Working capital] [remained|stayed] [stable|sufficient|adequate] during the quarter.",
        "The [margin|operating result] [improved|weakened|recovered] [slightly|noticeably] compared with the budget.",
        "[Higher|Lower] [energy prices|interest rates|wage costs] [weighed on|supported] the [result|earnings].",
        "Depreciation was [in line with|slightly above|below] the [forecast|plan].",
        "The [auditors|accountants] [raised no objections|confirmed the balance sheet|approved the annual accounts].",
        "Outstanding [loans|invoices|liabilities] were [reduced|settled|refinanced] [as planned|earlier than "
        "expected].",
        "The [dividend|share price|return on equity] [developed as expected|was left unchanged|rose a little].",
        "[Provisions|Reserves] for [bad debts|taxes|pensions] were [increased|reviewed|kept unchanged].",
        "[Expenses|Costs] for [travel|rent|marketing|materials] were [cut|kept under control|higher than forecast].",
        "The [treasury|finance department] expects [growth|profits] to [slow down|pick up] in the coming quarters.",
        "Investors [reacted calmly to|welcomed] the [outlook|figures|quarterly statement].",
        "[Currency effects|Exchange rates] had [little|some|a visible] influence on [sales|net profit].",
        "The [debt ratio|credit rating|equity ratio] [improved|was confirmed|did not change].",
        "[Receivables|Inventories] were [written down|valued at cost|counted at the end of the year].",
    ),
    "incident": (
        "The [alarm|emergency call] was [raised|received] shortly [before|after] the shift change.",
        "[Fire fighters|The emergency services|Rescue workers] [arrived|were on the spot] within minutes.",
        "[Nobody was|No one was seriously] [injured|hurt], but [two workers|some of the staff] were [treated for "
        "shock|evacuated].",
        "A [leaking valve|faulty cable|burst pipe|broken hinge] is [thought to be|assumed to be] the cause of the "
        "[accident|damage].",
        "The [area|building|corridor] was [sealed off|cleared|closed] until the [smoke|water|gas] had [gone|been "
        "removed].",
        "[Witnesses|Bystanders] [reported|described] [a loud bang|a strong smell|thick smoke|sparks].",
        "The [damage|failure|outage] was [limited to|confined to] [one hall|the upper floor|the storage area].",
        "The [machine|pump|crane|forklift] [stopped suddenly|overheated|tipped over] [without warning|during loading].",
        "[First aid|Medical help] was given [on the spot|immediately].",
        "[Power|Electricity] was [cut|switched off] as a precaution and [restored|switched on again] some hours later.",
        "The [sequence of events|course of the accident] was [reconstructed|established] from [the camera|statements "
        "of the crew].",
        "Protective [helmets|gloves|masks] [prevented worse damage|were being worn at the time].",
        "The [spill|blaze|flood] was [brought under control|contained] [quickly|after an hour].",
        "As an immediate measure, [access was restricted|all similar devices were shut down|the crew was warned].",
    ),
    "inspection": (
        "The [fire doors|emergency exits|escape routes] were [found in good order|checked one by one|clearly marked].",
        "[Cracks|Signs of wear|Traces of rust] [were found|could be seen] on [the outer wall|a support beam|several "
        "bolts].",
        "The [inspector|visitor] [measured|checked] the [thickness of the coating|air pressure|room "
        "temperature|noise level].",
        "The [extinguishers|sprinklers|safety valves] [passed the test|must be replaced|bear a valid seal].",
        "[Minor|Some|A few] [defects|faults] must be [remedied|repaired] before the next [visit|check].",
        "The [roof|cellar|staircase|boiler room] [showed no signs of wear|was dry and clean|needs a new coat of "
        "paint].",
        "[Compliance|Conformity] with the [standard|building code|safety rules] was [confirmed|rated as good].",
        "[Samples|Photographs] of the [surface|concrete|wiring] were taken [on site|for the file].",
        "The [checklist|test certificate|inspection sticker] was [completed|filled in|renewed].",
        "The [lift|ventilation|lighting|heating] [works|was running] [without fault|within the permitted limits].",
        "The [kitchen|workshop|warehouse] was [rated|graded] [satisfactory|good|acceptable with conditions].",
        "[Labels|Warning signs] were [missing|hard to read|in place] at [the entrance|the loading ramp].",
        "A [follow-up visit|second check] [is required|is not considered necessary].",
        "The [gauges|scales|meters] were [calibrated|read and compared] [during the walk-through|on the spot].",
    ),
    "legal": (
        "The [court|judge|tribunal] [dismissed|admitted|adjourned] the [claim|appeal|motion].",
        "The [plaintiff|claimant] [seeks|demands] [compensation|damages|an injunction].",
        "The [defendant|respondent] [denies|disputes] [any liability|the breach of contract|the allegations].",
        "The [clause|provision] on [liability|termination|confidentiality] is [unclear|binding|void].",
        "[Counsel|The lawyers] [filed|submitted] [a written statement|further evidence|an objection].",
        "The [limitation period|notice period] has [expired|not yet begun|been extended].",
        "A [settlement|compromise] [out of court|before the hearing] [is being negotiated|remains possible|was "
        "rejected].",
        "The [ruling|judgment|verdict] is [final|not yet legally binding|open to appeal].",
        "[Witnesses|Experts] [were heard|testified] [under oath|in closed session].",
        "The [burden of proof|question of fault] lies with the [claimant|other party].",
        "The [patent|trademark|licence] was [infringed|declared invalid|upheld], according to the [statement of "
        "claim|file].",
        "[Legal costs|Court fees] are [shared by the parties|borne by the losing party].",
        "The [agreement|contract] was [terminated for cause|signed under reservation|concluded in writing].",
        "The [hearing|trial] was [postponed|held in public|brought to a close].",
    ),
    "meeting": (
        "The [chair|chairperson] [opened the session|welcomed everyone|thanked the members for coming].",
        "The [agenda|order of business] was [adopted|approved|amended] [without discussion|unanimously].",
        "The [minutes|notes] of the [previous|last] [session|gathering] were [approved|read out|corrected].",
        "The [motion|proposal] was [carried|rejected|put to the vote] [by a show of hands|with few abstentions].",
        "[Members|Participants|Delegates] [discussed|exchanged views on] the [timetable|proposal|next steps].",
        "[Apologies|Excuses] were [received|noted] from [several members|two delegates].",
        "It was [agreed|decided] to [postpone the item|set up a working group|return to the subject].",
        "The [secretary|minute taker] will [circulate the notes|send out invitations|collect suggestions].",
        "[Under any other business|At the end of the agenda] [a question was raised|no points were brought up].",
        "The [discussion|debate] was [lively|brief|friendly] and [ended with a vote|led to a clear decision].",
        "[Action items|Tasks] were [assigned|handed out] to the [participants|members present].",
        "The [committee|board|panel] [took note of|expressed its thanks for] the [presentation|oral summary].",
        "The [next session|next gathering] will be [announced|convened] by the [chair|secretary].",
        "A [quorum|majority] was [present|reached|confirmed] at the [beginning|start].",
    ),
    "research": (
        "The [hypothesis|assumption] was [tested|examined] with [a larger sample|a control group|repeated "
        "measurements].",
        "The [results|data] [suggest|indicate] a [weak|strong|surprising] [correlation|effect|trend].",
        "The [experiment|trial series] was [repeated|carried out] under [laboratory conditions|varying temperatures].",
        "[Participants|Volunteers|Specimens] were [assigned at random|selected by age|divided into groups].",
        "The [difference|deviation] was [statistically significant|within the margin of error|smaller than predicted].",
        "[Earlier studies|The literature] [reported|found] [similar values|contradictory evidence].",
        "The [model|algorithm|simulation] [reproduces|predicts] the [observations|measured values] [well|only in "
        "part].",
        "[Further|Additional] [experiments|studies] are needed to [confirm the finding|rule out other explanations].",
        "The [data set|sample] was [cleaned|analysed] with [standard software|statistical methods].",
        "[Cells|Enzymes|Proteins|Polymers] were [kept in solution|observed under the microscope|exposed to light].",
        "The [method|technique] is [described in the appendix|new in this field|sensitive to noise].",
        "The [manuscript|paper] was [submitted to a journal|revised after peer review].",
        "The [survey|questionnaire] was [answered by|sent to] [students|patients|households].",
        "The [theory|mechanism] [remains a matter of debate|is supported by the measurements].",
    ),
}

TITLES: dict[str, tuple[str, ...]] = {
    "financial": (
        "[Results|Figures|Earnings] of the [quarter|half-year]",
        "[Notes on|Comments on] the [accounts|balance sheet|cash position]",
        "[Income|Costs] and [liabilities|reserves] at a glance",
    ),
    "incident": (
        "[Course of events|What happened] and what was [damaged|done at once]",
        "[Accident|Damage] and [immediate measures|first response]",
        "Account of the [outage|spill|fire alarm]",
    ),
    "inspection": (
        "[Findings|Defects found] during the [visit|walk-through]",
        "[State|Condition] of the [rooms and equipment|safety devices]",
        "[Checks|Measurements] and [defects|test certificates]",
    ),
    "legal": (
        "[State|Outcome] of the [proceedings|dispute]",
        "[Claims|Clauses] and [objections|rulings]",
        "The [case|contract] in the eyes of the [court|parties]",
    ),
    "meeting": (
        "[Minutes|Notes] of the [session|gathering]",
        "[Agenda|Order of business] and [decisions|votes]",
        "What the [committee|board|panel] [discussed|decided]",
    ),
    "research": (
        "[Methods|Experiments] and [first results|observations]",
        "[Data|Measurements] from a [survey|trial series]",
        "[Hypotheses|Findings] and [open questions of the study|further experiments]",
    ),
}

NEUTRAL_SENTENCES: tuple[str, ...] = (
    "[This document|This text|The following text] [summarises|brings together] what is known [so far|at present].",
    "[All|Most] details [given here|in this section] were [checked|reviewed] before [release|publication].",
    "[All|Most] information [given here|in this section] was [checked|reviewed] before [release|publication].",
    "[Further|More|Additional] [details|remarks] [can be found|are given] in the [annex|attachment].",
    "[The work|Everything] [went on|continued] [as planned|without interruption|at the usual pace].",
    "[There were|There are] [no|few] [changes|open points] [since the last version|to be noted here].",
    "[Copies|Printed copies] are [available on request|kept in the archive|sent to all readers].",
    "[Some|A number of] [questions|points] [remain open|will be answered later|need more time].",
    "The [team|staff|group] [was helpful throughout|worked with great care|answered every question].",
    "[For the sake of completeness|For this reason|For reference], [the list|the overview] is "
    "[repeated|included] here.",
    "[It should be noted|It is worth adding] that [conditions may change|the picture is not complete].",
    "The [weather|season] [played no part|was of little importance] in any of this.",
    "[Readers|Those] who are [new to the subject|in a hurry] [may|can] [skip this part|start with the summary].",
    "[On the whole|All in all|In general], the [situation|state of affairs] is [encouraging|under "
    "control|satisfactory].",
    "The [following|next] [paragraph|section] [adds|gives] some [background|context].",
    "[No|Little] [further|other] [action|work] is [needed|planned] [at this stage|for the time being].",
    "[Comments|Corrections] are [welcome|to be sent to the usual address].",
    "[Several|Various] [steps|measures] have [already been taken|been prepared].",
    "[Communication|Cooperation] between the [departments|teams|offices] was [good|close|sometimes slow].",
    "The [schedule|plan] [leaves room for|allows] [small adjustments|later additions].",
    "[Nothing|Not much] [else|more] [needs to be said|has to be recorded] [on this point|about it].",
    "The [terms|names] used here [follow|are those of] the [earlier|general] [documents|guidelines].",
    "[This part|This passage] was [written|added] [last|at the request of readers].",
    "[What follows|The rest] is [less|more] [detailed|important] than [what came before|the first part].",
    "[Nobody|No one] [expected|had hoped for] [more than that|anything else].",
    "[Time|Space] does not [allow|permit] [a full account|more than a few words] here.",
    "[Most|Some] of this was [known before|already familiar] [to those involved|to the departments].",
    "[As before|As usual], the [numbers|amounts] are [rounded|given as they were reported].",
    "The [list|table|overview] [is not complete|will be continued|follows no particular order].",
    "[Opinions|Views] [differ|are divided] on [how to go on|what this means].",
    "[It is too early|It is not the task of this text] to [judge|draw conclusions].",
    "[One thing|Only one thing] is [clear|certain]: [patience is needed|there is more to do].",
    "[A decision|An answer] [is expected soon|has been put off|will take some time].",
    "[The reasons|The details] [are explained elsewhere|need not concern us here].",
    "[Mistakes|Gaps] in [this part|these pages] [cannot be ruled out|should be reported].",
    "[Small|Minor] [delays|changes] [are normal|had no effect|were accepted by all sides].",
    "[Those responsible|All those concerned] [have been informed|were asked for their opinion].",
    "[The order|The sequence] of the [sections|items] [says nothing about their weight|was left as it was].",
    "[Much|A great deal] [depends on|will turn on] [the coming months|how things develop].",
    "[Old|Earlier] [versions|copies] of this text [should be destroyed|are no longer valid].",
    "[Let us|We may] now [turn to|look at] [the next point|something else].",
)

HEADINGS: tuple[str, ...] = (
    "Background",
    "Summary",
    "Overview",
    "Details",
    "General remarks",
    "Present state",
    "Further points",
    "Notes",
    "Outlook",
    "Main points",
    "Context",
    "What comes next",
    "In brief",
    "Remarks",
    "At a glance",
    "Names and figures",
    "Further information",
    "State of affairs",
    "Facts",
    "Additions",
)
