"""Whether an English word is a verb: a list of common ones with their regular forms.

It stands in for a part-of-speech tagger, which would need a trained model.
"""

# ruff: noqa: SIM905 - the words read better as text

__all__ = ["is_verb"]

_REGULAR = """
accept access achieve act adapt add address adjust adopt advise agree allow analyze answer
apologize appear apply appreciate approach argue arrange arrive ask assess assign assist assume
attempt attend avoid bake balance believe belong blend boil book borrow brush call capture care
carry cause celebrate change charge check choose clarify classify clean click climb close collect
combine compare complete compose conclude conduct confirm connect consider construct consult
contact contain continue contribute convert convey cook copy cover craft create cross cultivate
dance deal debate decide declare define deliver demonstrate depend describe design detect determine
develop discover discuss dive divide download drop earn educate embark embrace emphasize employ
empower enable encourage end engage enjoy enhance enrich ensure enter envision escape establish
evaluate examine exercise exist expand expect experience experiment explain explore express extend
face fail feature fill filter finish fix focus follow foster gather gaze generate glance greet grab
guarantee guide handle happen harness help highlight hire hope identify ignore illustrate imagine
implement improve include incorporate increase indicate influence inform innovate insert inspire
install integrate introduce invest investigate invite involve join journey judge jump keep kick
laugh launch learn limit list listen live load look love maintain manage mark marvel master match
measure meet mention mix monitor motivate move navigate need note notice observe obtain offer open
operate order organize outline pack paint participate pass perform persist pick picture place plan
play point ponder possess practice prefer prepare present preserve press prevent prioritize process
produce program promise promote propose protect prove provide pull pursue push quote raise reach
realize recall receive recognize recommend record reduce refer reflect refuse regard relate relax
release rely remain remember remind remove repeat replace reply report represent request require
research resolve respect respond rest return reveal review revise roam save say seem select
separate serve share shift show simmer simplify sit solve start stay step stir stop store strive
structure study submit succeed suggest summarize supply support suppose surprise survive suspect
switch talk taste tell test thank touch train transform translate travel treasure treat trust try
turn understand unleash unlock unveil update upload use utilize value vary venture verify view
visit visualize wait walk want warn wash watch welcome whisper witness wonder work worry wrap
""".split()
_IRREGULAR = """
am are is was were be been being have has had having do does did done doing can could will would
shall should may might must
become becomes became becoming begin begins began begun beginning bring brings brought bringing
build builds built building buy buys bought buying catch catches caught catching come comes came
coming cut cuts cutting draw draws drew drawn drawing drink drinks drank drunk drinking drive drives
drove driven driving eat eats ate eaten eating fall falls fell fallen falling feed feeds fed feeding
feel feels felt feeling fight fights fought fighting find finds found finding fly flies flew flown
flying forget forgets forgot forgotten forgetting forgive forgives forgave forgiven forgiving get
gets got gotten getting give gives gave given giving go goes went gone going grow grows grew grown
growing hear hears heard hearing hide hides hid hidden hiding hold holds held holding know knows
knew known knowing lead leads led leading leave leaves left leaving lend lends lent lending let lets
letting lose loses lost losing make makes made making mean means meant meaning pay pays paid paying
put puts putting quit quits quitting read reads reading ride rides rode ridden riding ring rings
rang rung ringing rise rises rose risen rising run runs ran running see sees saw seen seeing seek
seeks sought seeking sell sells sold selling send sends sent sending set sets setting shake shakes
shook shaken shaking shine shines shone shining sing sings sang sung singing sleep sleeps slept
sleeping speak speaks spoke spoken speaking spend spends spent spending stand stands stood standing
swim swims swam swum swimming take takes took taken taking teach teaches taught teaching think
thinks thought thinking throw throws threw thrown throwing wake wakes woke woken waking wear wears
wore worn wearing win wins won winning write writes wrote written writing
""".split()


def _forms(verb: str) -> set[str]:
    if verb.endswith("e"):
        return {verb, verb + "s", verb + "d", verb[:-1] + "ing"}
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return {verb, verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"}
    ending = "es" if verb.endswith(("s", "x", "z", "ch", "sh")) else "s"
    doubled = verb + verb[-1]
    return {verb, verb + ending, verb + "ed", verb + "ing", doubled + "ed", doubled + "ing"}


_VERBS = frozenset(_IRREGULAR).union(*map(_forms, _REGULAR))


def is_verb(word: str) -> bool:
    """Whether a word, whatever its case, is a form of a verb that is in the list."""
    return word.lower() in _VERBS
