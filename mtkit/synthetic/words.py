"""Words of the domains."""

from __future__ import annotations

from mtkit.synthetic.texts import Vocabulary

_FILLER = ("new", "good", "one", "other", "more", "again")

SHOP = Vocabulary(
    topics={
        "bakery": ("bread", "rolls", "flour", "cake", "crackers", "dough"),
        "dairy": ("milk", "cheese", "yogurt", "butter", "cream", "kefir"),
        "produce": ("apples", "carrots", "spinach", "tomatoes", "onions", "berries"),
        "meat": ("chicken", "beef", "sausage", "ham", "turkey", "bacon"),
        "drinks": ("juice", "soda", "water", "lemonade", "cider", "tonic"),
        "coffee": ("espresso", "beans", "roast", "filters", "cocoa", "tea"),
        "snacks": ("chips", "nuts", "popcorn", "chocolate", "candy", "pretzels"),
        "frozen": ("pizza", "sorbet", "fries", "dumplings", "waffles", "icecream"),
        "cleaning": ("soap", "detergent", "sponges", "bleach", "brushes", "towels"),
        "baby": ("diapers", "wipes", "formula", "bibs", "rattle", "stroller"),
        "garden": ("seeds", "soil", "hose", "gloves", "planter", "fertilizer"),
        "tools": ("hammer", "drill", "screws", "pliers", "tape", "ladder"),
    },
    styles=(("organic", "handmade", "premium"), ("budget", "family", "value")),
    templates=("{style} {0} and {1} {tags}", "{0} with {1}, {style} {2} {tags}", "pack of {style} {0} {1} {2} {tags}"),
    filler=_FILLER,
)
MEDIA = Vocabulary(
    topics={
        "comedy": ("laughs", "jokes", "prank", "sitcom", "standup", "parody"),
        "drama": ("tears", "family", "betrayal", "secret", "farewell", "divorce"),
        "action": ("chase", "explosion", "fight", "heist", "rescue", "stunt"),
        "horror": ("ghost", "haunted", "scream", "curse", "zombie", "vampire"),
        "romance": ("love", "wedding", "kiss", "heart", "date", "crush"),
        "crime": ("detective", "murder", "police", "thief", "evidence", "trial"),
        "science": ("robot", "planet", "space", "alien", "future", "experiment"),
        "nature": ("ocean", "forest", "wildlife", "river", "mountain", "birds"),
        "music": ("concert", "guitar", "singer", "band", "dance", "remix"),
        "sports": ("football", "goal", "race", "tennis", "champion", "training"),
        "cooking": ("recipe", "kitchen", "chef", "baking", "spices", "dinner"),
        "history": ("empire", "war", "ancient", "king", "castle", "revolution"),
    },
    styles=(("slow", "quiet", "artful"), ("fast", "loud", "wild")),
    templates=("{style} {0} and {1} {tags}", "the {0} of the {1}: a {style} {2} {tags}", "{style} {0} {1} {2} {tags}"),
    filler=_FILLER,
)
SOCIAL = Vocabulary(
    topics={
        "python": ("decorator", "generator", "pandas", "pip", "list", "import"),
        "databases": ("sql", "index", "join", "query", "transaction", "schema"),
        "networks": ("router", "dns", "packet", "wifi", "firewall", "proxy"),
        "security": ("password", "encryption", "token", "malware", "certificate", "hash"),
        "hardware": ("cpu", "memory", "keyboard", "battery", "monitor", "fan"),
        "math": ("proof", "matrix", "integral", "theorem", "prime", "limit"),
        "statistics": ("variance", "regression", "sample", "bayes", "interval", "median"),
        "travel": ("visa", "flight", "hotel", "passport", "train", "luggage"),
        "gardening": ("tomato", "compost", "pruning", "seedling", "mulch", "roses"),
        "beer": ("hops", "malt", "yeast", "brewing", "lager", "stout"),
        "photography": ("lens", "shutter", "tripod", "exposure", "portrait", "film"),
        "cycling": ("brake", "chain", "tire", "saddle", "helmet", "gear"),
    },
    styles=(("beginner", "simple", "first"), ("advanced", "deep", "expert")),
    templates=(
        "how to fix {0} with {1}? {style} {tags}",
        "{style} question: {0}, {1} or {2}? {tags}",
        "why is {0} like {1}? {style} {2} {tags}",
    ),
    filler=_FILLER,
)
FINANCE = Vocabulary(
    topics={
        "savings": ("deposit", "interest", "account", "rate", "cash", "notice"),
        "housing": ("mortgage", "home", "fixed", "property", "equity", "builder"),
        "consumer": ("loan", "installment", "credit", "purchase", "overdraft", "monthly"),
        "cards": ("card", "cashback", "miles", "contactless", "limit", "fee"),
        "insurance": ("cover", "life", "accident", "policy", "claim", "premium"),
        "pension": ("retirement", "annuity", "age", "plan", "tax", "contribution"),
        "bonds": ("bond", "coupon", "treasury", "maturity", "yield", "issuer"),
        "funds": ("fund", "index", "basket", "tracker", "balanced", "manager"),
        "shares": ("share", "dividend", "stock", "company", "exchange", "growth"),
        "commodities": ("gold", "oil", "silver", "wheat", "metal", "futures"),
        "currency": ("dollar", "euro", "exchange", "forex", "transfer", "hedge"),
        "startups": ("venture", "startup", "seed", "founder", "private", "round"),
    },
    styles=(("classic", "steady", "secure"), ("flexible", "digital", "active")),
    templates=("{style} {0} and {1} {tags}", "{0} with {1}, {style} {2} {tags}", "{style} plan: {0} {1} {2} {tags}"),
    filler=_FILLER,
)
