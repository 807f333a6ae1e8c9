"""Sentences, words and tokens of a text, as the checkers of IFEval and IFBench count them.

Both were published with regular expressions for sentences, and with NLTK's tokenizer for words;
these functions follow the same rules without NLTK and its downloads. One difference is wanted:
where the published checkers count sentences with a trained model, these use the rules too.
"""

import re
import string

__all__ = ["STOP_WORDS", "bare", "sentences", "strip_marks", "tokens", "words"]

# Stand for a full stop that ends no sentence, and for the end of a sentence.
_DOT, _END = "\ue000", "\ue001"
_ABBREVIATED = "Inc|Ltd|Jr|Sr|Co"
_OPENERS = (
    r"Mr|Mrs|Ms|Dr|Prof|Capt|Cpt|Lt|He\s|She\s|It\s|They\s|Their\s|Our\s|We\s|But\s|However\s|"
    r"That\s|This\s|Wherever"
)
_SENTENCE_RULES = [
    (re.compile(pattern), form)
    for pattern, form in (
        (r"(Mr|St|Mrs|Ms|Dr)\.", rf"\1{_DOT}"),
        (r"\.(?=com|net|org|io|gov|edu|me)", _DOT),
        (r"([0-9])\.([0-9])", rf"\1{_DOT}\2"),
        (r"\.{2,}", lambda dots: _DOT * len(dots.group()) + _END),
        (r"Ph\.D\.", f"Ph{_DOT}D{_DOT}"),
        (r"\s([A-Za-z])\. ", rf" \1{_DOT} "),
        (rf"([A-Z]\.[A-Z]\.(?:[A-Z]\.)?) ({_OPENERS})", rf"\1{_END} \2"),
        (r"([A-Za-z])\.([A-Za-z])\.([A-Za-z])\.", rf"\1{_DOT}\2{_DOT}\3{_DOT}"),
        (r"([A-Za-z])\.([A-Za-z])\.", rf"\1{_DOT}\2{_DOT}"),
        (rf" ({_ABBREVIATED})\. ({_OPENERS})", rf" \1{_END} \2"),
        (rf" ({_ABBREVIATED})\.", rf" \1{_DOT}"),
        (r" ([A-Za-z])\.", rf" \1{_DOT}"),
        ('\\.(\u201d|")', r"\1."),
        (r'([!?])"', r'"\1'),
        (r"[.?!]", rf"\g<0>{_END}"),
    )
]

_APOSTROPHES = re.compile(r"(?<=[^' ])('[sSmMdD]|'ll|'LL|'re|'RE|'ve|'VE|n't|N'T)(?= )")
_TOKEN_RULES = [
    (re.compile(pattern), form)
    for pattern, form in (
        ("[\u00ab\u201c\u2018\u201e]|`+", r" \g<0> "),
        (r'^"|(?<=[ (\[{<])"', " `` "),
        (r"([^.])(\.)(?=[\])}>\"'\u00bb\u201d\u2019 ]*\s*$)", r"\1 \2 "),
        (r"([:,])(?=[^\d]|$)", r" \1 "),
        (r"\.{2,}", r" \g<0> "),
        (r"[;@#$%&?!*]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[\][(){}<>]", r" \g<0> "),
        (r"--", r" \g<0> "),
        ("[\u00bb\u201d\u2019]", r" \g<0> "),
        (r"''|\"", " '' "),
    )
]
_RUN_TOGETHER = re.compile(
    r"(?i)\b(?:(can)(not)|(d)('ye)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(more)('n)|(wan)(na))\b"
)
_WORD = re.compile(r"\w+")
_NO_MARKS = str.maketrans("", "", string.punctuation)

# The words that carry grammar in English, with what contractions leave of them.
STOP_WORDS = frozenset({
    "i", "me", "my", "myself", "we", "our", "ours", "ourselves", "you", "your", "yours",
    "yourself", "yourselves", "he", "him", "his", "himself", "she", "her", "hers", "herself", "it",
    "its", "itself", "they", "them", "their", "theirs", "themselves", "what", "which", "who",
    "whom", "this", "that", "these", "those", "am", "is", "are", "was", "were", "be", "been",
    "being", "have", "has", "had", "having", "do", "does", "did", "doing", "a", "an", "the", "and",
    "but", "if", "or", "because", "as", "until", "while", "of", "at", "by", "for", "with", "about",
    "against", "between", "into", "through", "during", "before", "after", "above", "below", "to",
    "from", "up", "down", "in", "out", "on", "off", "over", "under", "again", "further", "then",
    "once", "here", "there", "when", "where", "why", "how", "all", "any", "both", "each", "few",
    "more", "most", "other", "some", "such", "no", "nor", "not", "only", "own", "same", "so",
    "than", "too", "very", "s", "t", "can", "will", "just", "don", "should", "now", "d", "ll", "m",
    "o", "re", "ve", "y", "ain", "aren", "couldn", "didn", "doesn", "hadn", "hasn", "haven", "isn",
    "ma", "mightn", "mustn", "needn", "shan", "shouldn", "wasn", "weren", "won", "wouldn",
})  # fmt: skip


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with its final mark, without spaces around them."""
    text = f" {text}  ".replace("\n", " ")
    for pattern, form in _SENTENCE_RULES:
        text = pattern.sub(form, text)
    found = [part.strip() for part in text.replace(_DOT, ".").split(_END)]
    return found if found[-1] else found[:-1]


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores."""
    return _WORD.findall(text)


def tokens(text: str) -> list[str]:
    """Words and marks as a treebank has them: ``It's (fine).`` is It, 's, (, fine, ), full stop."""
    return [token for sentence in sentences(text) for token in _tokens(sentence)]


def _tokens(sentence: str) -> list[str]:
    for pattern, form in _TOKEN_RULES:
        sentence = pattern.sub(form, sentence)
    sentence = _APOSTROPHES.sub(r" \1 ", f" {sentence} ")
    sentence = _RUN_TOGETHER.sub(lambda m: " ".join(filter(None, m.groups())), sentence)
    return sentence.split()


def strip_marks(text: str) -> str:
    """The text without ASCII punctuation and spaces around it."""
    return text.strip(string.punctuation + " ")


def bare(text: str) -> str:
    """The text without any ASCII punctuation."""
    return text.translate(_NO_MARKS)
