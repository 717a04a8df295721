"""The checks of data, by code: what each finding means, and what to do. What looks for them is in `mtkit/profile/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator

from mtkit.errors import nearest

Severity = Literal["error", "warning", "note"]
#: From the worst on.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class DataCheck:
    """A check of data.

    Attributes:
        code: by which it is silenced; never given to another check.
        severity: of what it finds, unless a finding says that it is less: `error` = no figure is worth anything, `warning` = look
            at it before training, `note` = a property of the data.
        title: what is found, in a few words.
        means: a sentence on what that does to training or to figures.
        advice: a sentence on what to do.
    """

    code: str
    severity: Severity
    title: str
    means: str
    advice: str


CHECKS = {
    check.code: check
    for check in (
        DataCheck(
            "P001",
            "error",
            "values do not fit their declaration",
            "The data are refused before anything is trained, and checks of cleaned data are left out.",
            "Change the values, or how the column is declared.",
        ),
        DataCheck(
            "P002",
            "error",
            "the parts cannot be made",
            "The split or the catalogs refuse the data; checks of what trains and what is tested may be left out.",
            "Do what the message says: choose other dates or shares, another split, or say what becomes of ids without a row.",
        ),
        DataCheck(
            "P003",
            "warning",
            "blank ids",
            "Interactions without an id are left out, and so is a row of an entity's table.",
            "Fill the ids in, or leave the rows out on purpose.",
        ),
        DataCheck(
            "P004",
            "warning",
            "ids that differ in case, white space or Unicode form alone",
            "One user or item is several, each with a part of the history.",
            "Write them alike; if they are different on purpose, silence this check.",
        ),
        DataCheck(
            "P005",
            "warning",
            "ids that stand for no id",
            "All who are not known become one user or item, with a history that is nobody's.",
            "Leave them blank, so that their rows are left out and counted.",
        ),
        DataCheck(
            "P006",
            "warning",
            "leading zeros in some values, and lost in others",
            "`007` and `7` are two values; a spreadsheet or a cast to integers removes zeros.",
            "Write all values with the same width, as text.",
        ),
        DataCheck(
            "P007",
            "warning",
            "ids of interactions that are not in the entity's table",
            "Their interactions are refused, left out or of the unknown, as `unlisted` of the catalog says.",
            "Add the rows to the table, or say what is to happen by `unlisted`.",
        ),
        DataCheck(
            "P008",
            "note",
            "rows of an entity's table without any interaction",
            "They are in a catalog only with `min_count = 0`; nothing is learned of their ids.",
            "Nothing, unless ids are written otherwise in the two tables.",
        ),
        DataCheck(
            "P009",
            "note",
            "users or items with a single interaction",
            "They have no past beside it, and once it is held out nothing to learn from.",
            "Raise `min_count` of the catalog, or read columns that say something of them.",
        ),
        DataCheck(
            "P010",
            "warning",
            "users or items with several descriptions",
            "A column that says one thing of nearly every id says several of some: notes, corrections or reused ids.",
            "Keep one description for each id, in the entity's table.",
        ),
        DataCheck(
            "P011",
            "note",
            "several ids with the same text",
            "One thing may have several ids, among which its interactions are divided.",
            "Merge the ids if they are the same.",
        ),
        DataCheck(
            "P012",
            "warning",
            "rows that are there twice",
            "They count twice, and one may train while the other is tested.",
            "Remove all but one of each; if each stands for an event of its own, silence this check.",
        ),
        DataCheck(
            "P013",
            "warning",
            "rows of the same user, item and time that differ elsewhere",
            "One event has several versions, or several events were logged in one second.",
            "Keep one row of each event.",
        ),
        DataCheck(
            "P014",
            "warning",
            "negative values of what is counted or paid",
            "Returns and cancellations count as interactions, as if somebody had wanted the item.",
            "Leave such rows out, or say by a condition (`where`) which interactions are meant.",
        ),
        DataCheck(
            "P015",
            "warning",
            "rows that take back an earlier one",
            "The same user and item have the same amount with the other sign: the event did not happen in the end.",
            "Remove both rows.",
        ),
        DataCheck(
            "P016",
            "note",
            "columns with one value",
            "Nothing can be learned from them.",
            "Do not read them.",
        ),
        DataCheck(
            "P017",
            "note",
            "columns that are nearly empty",
            "What is learned from the few values hardly counts; a warning if there are none at all.",
            "Do not read them, or find out where the values are lost.",
        ),
        DataCheck(
            "P018",
            "warning",
            "categories of which nearly every row has its own",
            "They are ids, dates or texts: every embedding is trained by a row or two, and recalls these.",
            "Declare the column as what it is, or do not read it.",
        ),
        DataCheck(
            "P019",
            "note",
            "numbers far from all others",
            "They stretch what is standardized, and dominate means and losses.",
            "Use the preprocessor `buckets`, or correct them if they are mistakes.",
        ),
        DataCheck(
            "P020",
            "warning",
            "numbers that stand for no number",
            "-1, 999 or 99999 is read as a size, though it says that there is none, or none that large.",
            "Leave such values blank, or use the preprocessor `buckets`.",
        ),
        DataCheck(
            "P021",
            "note",
            "categories of a single row",
            "Their embeddings are trained by one row, or not at all.",
            "Raise `min_count` of the preprocessor `vocabulary`, or group them.",
        ),
        DataCheck(
            "P022",
            "warning",
            "words among the numbers of a categorical column",
            "The column may be a numeric one with words for what is missing or out of range.",
            "Leave the words blank and declare it numeric, or silence this check if these are names.",
        ),
        DataCheck(
            "P023",
            "warning",
            "values that stand for no value",
            "They are categories like any other; a note where the word may be meant, such as `unknown`.",
            "Leave such values blank if they say that there is none.",
        ),
        DataCheck(
            "P024",
            "warning",
            "categories that differ in case, white space or Unicode form alone",
            "One category is several, each with a part of the rows.",
            "Write them alike.",
        ),
        DataCheck(
            "P025",
            "warning",
            "columns that say the same",
            "Two columns have the same values in every row; a note where each value of one has its own of the other.",
            "Read one of them.",
        ),
        DataCheck(
            "P026",
            "warning",
            "a numeric column that numbers the rows",
            "A row number says where a row stood in the file, and nothing of the next one.",
            "Do not declare the column.",
        ),
        DataCheck(
            "P027",
            "note",
            "missing texts",
            "What has no text is the same to a text encoder; a warning from half of the rows on.",
            "Read other columns beside the text.",
        ),
        DataCheck(
            "P028",
            "note",
            "one text in many rows",
            "A standard text stands where none was written.",
            "Leave it blank.",
        ),
        DataCheck(
            "P029",
            "note",
            "very long texts",
            "Text encoders read the first some hundred words.",
            "Put what matters first, or into a column of its own.",
        ),
        DataCheck(
            "P030",
            "warning",
            "text in the wrong encoding",
            "Letters were decoded as others (`Ã©` for `é`) or lost (`\ufffd`), so that words are not recognized.",
            "Read the file anew in the encoding that it is in (`encoding`).",
        ),
        DataCheck(
            "P031",
            "note",
            "escapes that are left in texts",
            'Quotes behind backslashes (`\\"`) or marks of HTML (`&amp;`, `<p>`) are read as text.',
            "Set `escape` in `[data]`, or write plain text.",
        ),
        DataCheck(
            "P032",
            "note",
            "lists longer than their declared length",
            "Of longer lists the first in sorted order, or the heaviest, are read; a warning from a twentieth of the rows on.",
            "Raise `length` of the column.",
        ),
        DataCheck(
            "P033",
            "note",
            "rows that come late in a file in the order of time",
            "Rows are put in order, but late rows may be corrections, or logged when they arrived.",
            "Find out what the time of a late row is that of.",
        ),
        DataCheck(
            "P034",
            "warning",
            "times in several units, or in the wrong one",
            "Some are a thousand times others, so that seconds among milliseconds are left out; or all would lie before 1980.",
            "Write all times in one unit.",
        ),
        DataCheck(
            "P035",
            "warning",
            "times that stand for no time",
            "The first second of 1970 or 1900, or a year beyond 2200, is what a missing time becomes in exports.",
            "Leave such times blank, so that their rows are left out and counted.",
        ),
        DataCheck(
            "P036",
            "warning",
            "times in the future",
            "Clocks were wrong, or times are in another unit or zone; such rows fall into the test.",
            "Correct the times, or leave the rows out.",
        ),
        DataCheck(
            "P037",
            "warning",
            "a long time without any interaction",
            "Part of the log is missing, or nothing happened; what is learned across the gap, and cuts in it, suffer.",
            "Find the missing part, or begin after the gap.",
        ),
        DataCheck(
            "P038",
            "warning",
            "many interactions in one second or on one day",
            "Times may be those of an import, or something unusual happened on that day (then it is a note).",
            "Use the times of the events, or leave that time out.",
        ),
        DataCheck(
            "P039",
            "note",
            "dates without a clock time among times that have one",
            "They count as midnight: before all else of their day, though they may have happened later.",
            "Move them to the end of their day, so that nothing that happened later counts as past.",
        ),
        DataCheck(
            "P040",
            "warning",
            "users or items with extreme counts",
            "Robots, test accounts or shared accounts dominate training and figures; a note of items, which may be that popular.",
            "Leave them out, or weigh their rows down.",
        ),
        DataCheck(
            "P041",
            "warning",
            "users who act at fixed intervals",
            "A program acts, and no person.",
            "Leave them out.",
        ),
        DataCheck(
            "P042",
            "note",
            "few items have most interactions",
            "Popularity is a strong baseline, and figures say little of other items.",
            "Measure the slice `tail`, and compare with the baseline `popularity`.",
        ),
        DataCheck(
            "P043",
            "note",
            "missing labels",
            "Rows without a label are left out of its tasks; a warning from half of the rows on.",
            "Nothing, if they are missing at random; otherwise the rest says little of all.",
        ),
        DataCheck(
            "P044",
            "warning",
            "labels that are almost constant",
            "So few rows have the rare value that little is learned of it, and figures are uncertain.",
            "Collect more, join labels, or do not predict it.",
        ),
        DataCheck(
            "P045",
            "warning",
            "a label whose rate jumps",
            "How labels are made has changed: what is learned before does not hold after.",
            "Train on what lies after the jump, or make the labels alike.",
        ),
        DataCheck(
            "P046",
            "warning",
            "columns whose values are distributed otherwise in the test",
            "What is learned on training rows meets other values (population stability index above 0.25; above 0.1 a note).",
            "Do not read counters, dates and the like; find out what has changed.",
        ),
        DataCheck(
            "P047",
            "note",
            "categories in the test that training lacks",
            "They are all the unknown to the model; a warning from a tenth of the tested rows on.",
            "Group them, or do not read the column.",
        ),
        DataCheck(
            "P048",
            "warning",
            "a column that nearly tells a label",
            "One column orders the rows of training almost perfectly (AUC above 0.98): it may follow from the label.",
            "If it is not known when a prediction is asked for, declare it among the label's `sources`.",
        ),
        DataCheck(
            "P049",
            "warning",
            "users or items of the test that training never saw",
            "A large share of the tested rows is of new ids: figures describe newcomers, or few rows are measured at all.",
            "Read columns that say something of new ids; see `unlisted` and `min_count` of the catalog.",
        ),
        DataCheck(
            "P050",
            "note",
            "interactions that are left out",
            "They neither train nor are evaluated; a warning from a fifth of a part on.",
            "See the reason; `min_count` and `unlisted` of the catalog decide on most.",
        ),
        DataCheck(
            "P051",
            "error",
            "what training knows of what is tested",
            "All that `mtkit check` says of leaks and of ids that are new in the test, with the severity that it has there.",
            "Each finding says what to do.",
        ),
        DataCheck(
            "P052",
            "note",
            "ids in a form that few have",
            "Some may be no user, item or basket: `POST` and `FEE` among numbers of articles, `C1234` for a cancellation.",
            "Find out what they name, and leave out what is not meant.",
        ),
        DataCheck(
            "P053",
            "warning",
            "baskets or sessions of several users",
            "Their numbers are used anew, or users were joined wrongly; each user's part counts as a basket of its own.",
            "Make the numbers unique, or correct the users.",
        ),
    )
}


def known_code(code: str, checks: Mapping[str, object]) -> str:
    """The code, if there is such a check.

    Raises:
        ValueError: there is none.
    """
    if code not in checks:
        raise ValueError(f"no check has the code {code!r}; {nearest(code, checks)}")
    return code


CheckCode = Annotated[str, AfterValidator(partial(known_code, checks=CHECKS))]
"""The code of a check of data."""
