"""Names as people have them, with characters that look like none."""

ODD_NAMES = [
    "Screenshot 3.04\N{NARROW NO-BREAK SPACE}PM.png",
    "a\N{NO-BREAK SPACE}b.txt",
    "\u5168\u89d2\N{IDEOGRAPHIC SPACE}.txt",
    "\u0645\u06cc\N{ZERO WIDTH NON-JOINER}\u062e\u0648\u0627\u0647\u0645.pdf",
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}.png",
    "\u0915\u094d\N{ZERO WIDTH JOINER}\u0937.txt",
    "\N{WAVING BLACK FLAG}\U000e0067\U000e0062\U000e007f.txt",
    "soft\N{SOFT HYPHEN}hyphen",
    "\U0001faff a symbol of tomorrow",
    'a"b;c.txt',
    "100 %.txt",
    "a?b#c&d=<e>.txt",
]
