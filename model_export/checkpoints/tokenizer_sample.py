"""Texts of many kinds on which two tokenizers are compared; what is left out, and why, stands in `same_ids`."""

# ruff: noqa: RUF001 - characters that look like others are what is tried

_PROSE = (
    "In March 2024 the committee published its findings, and nobody was surprised. The report, 212 pages long, "
    "says that the bridge was sound; what failed was the maintenance. “We knew,” said Ms. O'Neill, “but who'd have "
    "listened?” Three of the five members disagreed -- politely -- with paragraph 14(b)."
)

SAMPLE: dict[str, str] = {
    "the empty text": "",
    "a single letter": "a",
    "a single unknown character": "\U0001fac3",
    "English prose": _PROSE,
    "twenty paragraphs of prose": "\n\n".join([_PROSE] * 20),
    "prose in capitals": _PROSE.upper(),
    "prose without spaces": _PROSE.replace(" ", ""),
    "contractions": "I'm we're they've don't o'clock rock 'n' roll it’s",
    "all of ASCII that can be seen": "".join(map(chr, range(33, 127))),
    "all of ASCII that can be seen, with spaces between": " ".join(map(chr, range(33, 127))),
    "punctuation": "Wait... what?! (No) [really] {yes}; 'a' \"b\" – c — d … «e» ‚f‘ „g“ §5 ¶ † • ‰",
    "numbers": "0 1 12 123 1234567890 3.14159 1,000,000 -7 +8 1e-9 0x1F 50% $9.99 €20 №3 2024-03-01 12:30:05",
    "superscripts, fractions and ligatures": "x² y³ ½ ¾ ﬁ ﬂ ﬃ ™ ℃ № ① Ⅳ ㌔ ㍿",
    "runs of spaces": "a  b   c    d          e",
    "a run of a thousand spaces": "a" + " " * 1000 + "b",
    "spaces before a text": "   indented",
    "tabs and line ends": "a\tb\nc\r\nd\n\n\te\x0bf\x0cg",
    "line ends before a text": "\n\n\ttext",
    "spaces around line ends": "a \n b  \n  c \t d",
    "other white space": "a\u00a0b\u2003c\u2009d\u3000e\u200bf\ufeffg\u2028h\u2029i\u0085j",
    "the space symbol inside a text": "a\u2581b \u2581c\u2581\u2581d",
    "accents": "naïve café résumé Ångström Zürich São Paulo čeština žluťoučký İstanbul ß ẞ œuvre",
    "accents written apart": "nai\u0308ve cafe\u0301 re\u0301sume\u0301 A\u030angstro\u0308m Zu\u0308rich Sa\u0303o",
    "Greek and Cyrillic": "Καλημέρα κόσμε. Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Hebrew": "שלום עולם, מה שלומך?",
    "Arabic": "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "Devanagari": "नमस्ते दुनिया",
    "Thai": "สวัสดีชาวโลก",
    "Chinese": "北京是中华人民共和国的首都。",
    "Chinese with spaces": "北京 是 首都 a 北 b 京",
    "Japanese": "東京タワーは高いです。ﾊﾝｶｸ カタカナ ひらがな",
    "Korean": "안녕하세요 세계",
    "wide forms": "Ａｃｍｅ　１２３！",
    "emoji": "👍 👍🏽 ❤\ufe0f 👩\u200d👩\u200d👧\u200d👦 🇩🇪 🏴\u200d☠\ufe0f 1\ufe0f\u20e3",
    "unknown characters side by side": "a\U00010330\U00010331b \U00010332 c\ue000\ue001\U0010fffd",
    "characters beyond the basic plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𠀀𠀁",
    "control characters": "a\x00b\x01\x02c\x07d\x1be\x7ff\x80g\x9f",
    "invisible marks": "soft\u00adhyphen \u202eright\u202c to\u200eleft\u2060 join\u200cer",
    "private and unassigned": "\ue123 \U000f0000 \u0378 \ufffd",
    "addresses": "See https://www.example.com/a/b?c=d&e=%20f#g or write to jane.doe+test@example.co.uk, or 192.168.0.1",
    "code": "def f(x: int = 0) -> dict[str, int]:\n    return {'a': x ** 2, \"b\": x != 3}  # note\n\nprint(f(1)['a'])",
    "markup": "<p class='x'>Tom &amp; Jerry</p> <br/> <!-- none --> [link](a.html) **bold** `code`",
    "a path and a command": "C:\\Users\\me\\file.txt; cd /usr/local/bin && ./run.sh --flag=1 | grep -v '^#'",
    "a very long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a word of six hundred letters": "antidisestablishmentarianism" * 22,
    "letters in no language": "qzxjvkw xqjzv zzxq WqXzJ bcdfghjklmnp aeiou rhythm",
    "a random string": "f3Kx9QzP0aLm7Tr2Wd8Yb5Nc1Vh4Sj6Ge",
    "mixed scripts in one word": "abcабвαβγ北京한글עברit",
}
"""Texts by what they are, for messages."""
