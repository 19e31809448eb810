"""Ordinary English for the vocabulary: sentences that have nothing to do with the demo reports.

A vocabulary trained on the reports alone would cut everyday words into letters. These sentences, built from lists of
common words, make sure that a newcomer's own text is cut into words and syllables too.
"""

import random

from demo.grammar import words

NOUNS = words("""
time year people way day man woman thing child world life hand part place case week company system program question
work government number night point home water room mother father area money story fact month lot right study book eye
job word business issue side kind head house service friend power hour game line end member law car city community name
president team minute idea body information back parent face level office door health person art war history party
result change morning reason research girl boy guy moment air teacher force education foot policy process music market
sense nation plan college interest death experience effect class control field development role effort rate heart drug
show leader light voice wife police mind price report decision son view relationship town road arm difference value
building action season society tax director position player record paper space ground form event official matter center
couple site project activity star table need court oil situation cost industry figure street image phone data picture
practice piece land product doctor wall patient worker news test movie north love support technology step baby computer
type attention film tree source organization hair look century evidence window culture chance brother energy period
course summer plant opportunity term letter condition choice rule daughter south husband floor campaign material
population call economy hospital church risk fire future bank garden kitchen river mountain forest bird horse dog cat
fish bread butter cheese apple orange lemon sugar salt coffee tea wine beer dinner lunch breakfast bicycle train bus
plane ship boat engine bridge station airport hotel restaurant theatre library museum university laboratory factory
farm field village island beach ocean lake sky sun moon planet storm rain snow wind ice winter spring autumn clock
watch pencil pen notebook newspaper magazine letter envelope stamp parcel camera radio television screen keyboard
network password website email message server database software hardware device battery cable sensor robot machine tool
hammer nail screw wood metal stone glass plastic cotton wool leather shirt jacket coat shoe hat bag basket bottle cup
plate knife fork spoon oven fridge lamp chair sofa bed blanket pillow curtain carpet roof stairs garage fence gate
lawyer engineer nurse soldier farmer driver pilot sailor painter singer actor writer poet editor journalist scientist
student pupil manager secretary clerk waiter cook baker butcher tailor carpenter plumber electrician mechanic
neighbour guest stranger citizen king queen prince minister mayor judge thief prisoner witness victim enemy hero
blood bone skin brain stomach lung muscle disease fever cough pain medicine vaccine surgery virus cell gene protein
acid gas liquid solid atom molecule electron mass speed distance temperature pressure volume density frequency wave
sound colour shape circle square triangle corner edge surface angle length width height weight depth
""")

VERBS = words("""
be have do say get make go know take see come think look want give use find tell ask work seem feel try leave call need
become put mean keep let begin help talk turn start show hear play run move like live believe hold bring happen write
provide sit stand lose pay meet include continue set learn change lead understand watch follow stop create speak read
allow add spend grow open walk win offer remember love consider appear buy wait serve die send expect build stay fall
cut reach kill remain suggest raise pass sell require report decide pull return explain hope develop carry break receive
agree support hit produce eat cover catch draw choose cause listen realise place close involve increase sing drink
drive fly swim climb jump throw kick push lift drop shake smile laugh cry shout whisper argue promise refuse accept
avoid protect attack defend escape hide search discover invent design repair clean wash cook bake boil fry mix measure
count calculate compare describe discuss publish print translate teach train practise improve reduce replace remove
collect store share divide connect join separate wrap fold tie burn melt freeze shine rise sink float travel arrive
depart visit invite welcome greet thank forgive blame trust doubt guess imagine dream sleep wake rest relax worry
fear hate enjoy prefer wish want deserve earn borrow lend owe save waste donate
""")

ADJECTIVES = words("""
good new first last long great little own other old right big high different small large next early young important few
public bad same able human local late hard major better economic strong possible whole free military true federal
international full special easy clear recent certain personal open red difficult available likely short single medical
current wrong private past foreign fine common poor natural significant similar hot dead central happy serious ready
simple left physical general environmental financial blue democratic dark various entire close legal religious cold
final main green nice huge popular traditional cultural quiet loud bright soft heavy narrow wide deep shallow thick thin
sharp dull fresh rotten sweet sour bitter salty wet dry clean dirty rich cheap expensive rare usual strange familiar
brave shy proud humble kind cruel gentle rough polite rude honest clever stupid wise foolish lazy busy tired hungry
thirsty angry calm nervous lonely jealous grateful curious careful careless patient healthy sick weak safe dangerous
useful useless broken empty ancient modern wooden golden silver yellow purple pink brown grey black white round flat
square straight curved digital electric nuclear chemical biological mathematical historical political social national
""")

ADVERBS = words("""
always never often sometimes usually rarely quickly slowly carefully easily hardly nearly almost quite very too well
badly together alone again soon later now then here there everywhere nowhere outside inside upstairs downstairs
perhaps probably certainly clearly suddenly finally recently early late today tonight yesterday tomorrow however
therefore instead otherwise meanwhile moreover although because unless until while before after since during without
within between among against toward across through beyond behind beside above below under over around along
""")

SENTENCES = """
Hello, how are you? I'm fine, thanks, and you?
It's a pity that we couldn't come; they didn't tell us in time.
What's the matter with him? He's been waiting for more than an hour.
I don't know whether she'll be there, but I'd be surprised if she weren't.
If you can't find what you are looking for, please ask one of us.
"Where have you been?" she asked. "Nowhere," he said.
He wouldn't say why, and nobody wanted to ask him twice.
They've already eaten, haven't they? Yes, they have.
Who would have thought that it could be done so easily?
The more you read, the less you are sure of anything.
Please see the manual (chapter 3) or visit www.example.org for help.
For example, e.g. this one, i.e. the first, etc.
Temperatures between -5 and +20 degrees are normal; 40% of the area is dry.
We shall see, said the blind man, whose dog knew the way.
Not only was it late, it was also raining, and both of us had forgotten our umbrellas.
There is no such thing as a free lunch, as everyone knows.
Dear Sir or Madam, thank you for your letter. Yours sincerely
To whom it may concern: this is to confirm that the order has been shipped.
Mr and Mrs Green live at No. 7 with Dr. Stone & her cats.
Which of these would you rather have: tea, coffee or neither?
Once upon a time there was a miller who had three sons, a mill, a donkey and a cat.
She sells sea shells on the sea shore; the shells she sells are surely seashells.
Neither rain nor snow kept the postman from finishing his rounds.
Everything that can go wrong will go wrong, and at the worst possible moment.
The meeting will be held on Monday, Tuesday, Wednesday, Thursday, Friday, Saturday or Sunday.
His opinions are his; hers are hers; ours are ours, and theirs do not matter to them.
Whatever happens, whenever it happens, someone somewhere will have predicted it.
Above all, be kind to yourself and to anybody else who needs it.
""".strip().splitlines()

_PATTERNS = (
    "The {a} {n} {v}s the {n}.",
    "A {n} and a {n} {v} {r} in the {a} {n}.",
    "{r} they {v} {a} {n}s.",
    "We {v}ed the {n} of the {n} {r}.",
    "I am {v}ing for the {n}, and she is {v}ing with her {a} {n}.",
    "Why do {n}s {v} so {r}?",
    "It was a {a}, {a} {n} that nobody could {v}.",
    "You should {v} every {n} that has a {a} {n}.",
    "He would {v} his {n} if their {n} were {a}.",
    "{n}: {a}, {n}: {a}.",
)


def english_sentences(count: int, rng: random.Random) -> list[str]:
    """Write sentences of common words; they need not make sense, only hold every word often enough."""
    banks = {"{n}": NOUNS, "{v}": VERBS, "{a}": ADJECTIVES, "{r}": ADVERBS}
    sentences = list(SENTENCES)
    while len(sentences) < count:
        sentence = rng.choice(_PATTERNS)
        for field, bank in banks.items():
            while field in sentence:
                sentence = sentence.replace(field, rng.choice(bank), 1)
        sentences.append(sentence[0].upper() + sentence[1:])
    return sentences
