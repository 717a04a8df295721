"""The checks of a finished run, by code: what each finding means, and what to do. What looks for them is in `mtkit/report/`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from mtkit.recipe.data_checks import DataCheck, known_code


class ReportCheck(DataCheck):
    """A check of what a run found; attributes as of a check of data, but that an `error` says that a figure is not to be used."""


REPORT_CHECKS = {
    check.code: check
    for check in (
        ReportCheck(
            "R001",
            "error",
            "worse than a constant",
            "The same answer for every row has a better score, or an order by chance is better.",
            "Use fewer epochs, more regularization, `calibrate`, or another rate of its rows; or leave the task out.",
        ),
        ReportCheck(
            "R002",
            "warning",
            "worse than its best baseline",
            "The baseline that is best on validation is better on the test, and not by chance (p below 0.05, by Holm).",
            "Serve the baseline, or give the task what the baseline knows; see the curves for whether it has trained enough.",
        ),
        ReportCheck(
            "R003",
            "note",
            "not told apart from its best baseline",
            "The difference to the baseline may be chance; what would be seen says how large it would have to be.",
            "Take the simpler of the two, or test on more users.",
        ),
        ReportCheck(
            "R004",
            "warning",
            "worse than boosted trees",
            "Gradient boosting on the same columns is better, and the intervals do not overlap.",
            "Look at what the task reads, and at its number of passes; for single tables trees are hard to beat.",
        ),
        ReportCheck(
            "R005",
            "note",
            "no baseline stands beside the task",
            "Nobody can tell whether its figures are good.",
            'Name baselines that fit the task, or set `baselines = "auto"`.',
        ),
        ReportCheck(
            "R006",
            "warning",
            "few test users",
            "Fewer than 30 users, or rows, are behind the figure of the task: tests and intervals are rough.",
            "Test on a longer time, or on more users.",
        ),
        ReportCheck(
            "R007",
            "note",
            "wide interval",
            "The interval reaches further than a third of the value to either side.",
            "Test on more users, and do not choose between recipes by this figure.",
        ),
        ReportCheck(
            "R008",
            "warning",
            "validation promised more than the test keeps",
            "The figure of the test is more than a quarter worse than that of validation, which lies outside its interval.",
            "Look at the time line and the label rates; if many settings were tried on validation, this is their price.",
        ),
        ReportCheck(
            "R009",
            "warning",
            "seeds, or folds, disagree",
            "The figure differs between runs by more than 5 % (standard deviation), or it beats the baseline in some runs alone.",
            "Compare recipes by the mean of several seeds only; train longer, or with a smaller learning rate.",
        ),
        ReportCheck(
            "R010",
            "warning",
            "too good to be true",
            "An AUC or an accuracy of 0.995 and more is seldom skill: a column may know the label.",
            "Look at the columns that the task reads, and when their values are known.",
        ),
        ReportCheck(
            "R011",
            "warning",
            "a golden feature",
            "One column alone orders the labels of the test nearly without mistake (AUC of 0.98 or more).",
            "Find out whether its value is known before the label is; if not, do not read it, or declare it among the `sources`.",
        ),
        ReportCheck(
            "R012",
            "warning",
            "training may know what is evaluated",
            "The check for leaks found something before training.",
            "Do what the finding says.",
        ),
        ReportCheck(
            "R013",
            "note",
            "suspicious data",
            "A quick check of the data found something before training.",
            "Do what the finding says; `mtkit profile` makes all checks.",
        ),
        ReportCheck(
            "R014",
            "warning",
            "the label rate differs between training and test",
            "It is more than half as large again in one of the two: what was learned of the rate does not hold.",
            "Look at the time line: a campaign, a season or a change of how labels are made; shorten `since`, or calibrate.",
        ),
        ReportCheck(
            "R015",
            "warning",
            "few positive, or few negative, labels in the test",
            "Fewer than 20 rows of one kind are behind its figures.",
            "Test on a longer time, or take a label that is less rare.",
        ),
        ReportCheck(
            "R016",
            "warning",
            "much of the test is left out",
            "More than a fifth of the interactions to be evaluated are not: figures are of the rest.",
            "Look at the reasons below; `min_count` and `unlisted` of the catalog say what becomes of unknown ids.",
        ),
        ReportCheck(
            "R017",
            "note",
            "ranked against a sample",
            "Figures of rankings against sampled items are biased, and may order models otherwise than the whole catalog would.",
            "Leave `evaluate.sampled` out, unless you compare with published figures.",
        ),
        ReportCheck(
            "R018",
            "warning",
            "overfit",
            "Validation was better in an earlier epoch than at the end, while the loss of training fell on.",
            'Use fewer epochs or `stop = "task"`, more dropout, or a smaller rate of its rows.',
        ),
        ReportCheck(
            "R019",
            "warning",
            "undertrained",
            "Its last epoch was its best on validation, and better by more than 2 % than the one before.",
            'Train for more epochs, or leave their number to validation (`stop = "task"` without `epochs`).',
        ),
        ReportCheck(
            "R020",
            "warning",
            "rows that training has not seen",
            "Training passed over less than half of a row table.",
            "Raise the `batch_size` of the table, or the number of epochs.",
        ),
        ReportCheck(
            "R021",
            "error",
            "training diverged",
            "A loss is no number, or larger in the last epoch than in the first by half.",
            "Use a smaller `learning_rate`, `clip_norm`, or a warm-up.",
        ),
        ReportCheck(
            "R022",
            "note",
            "one task has most of the loss",
            "More than 95 % of the weighted loss is of one task, so the shared part of the model is trained for it.",
            "Set the `weight` of the tasks, or take a balancer.",
        ),
        ReportCheck(
            "R023",
            "warning",
            "nothing was learned after the first epoch",
            "Validation was best after the first of several epochs, by more than 5 %.",
            "Use a smaller `learning_rate`, or fewer rows in an epoch (`steps_per_epoch`).",
        ),
        ReportCheck(
            "R024",
            "warning",
            "miscalibrated",
            "The calibration error is above 0.02, and more than twice that of a calibrated model on as many rows.",
            "Set `calibrate` of the task; look at the label rates of training and test.",
        ),
        ReportCheck(
            "R025",
            "warning",
            "predictions are all alike",
            "Predictions differ by less than 1 % of their mean, or of the spread of the labels.",
            "Look at the loss of the task: it may have no weight, too large a rate, or nothing to read.",
        ),
        ReportCheck(
            "R026",
            "warning",
            "a class that is never predicted",
            "It has at least 5 % of the rows, and at least 20 of them.",
            "Look at the confusion; train longer, or merge classes that cannot be told apart.",
        ),
        ReportCheck(
            "R027",
            "warning",
            "numbers are off on average",
            "The mean prediction is off the mean label by more than a fifth of the standard deviation of labels.",
            "Look at the label means of training and test, and at the residuals.",
        ),
        ReportCheck(
            "R028",
            "warning",
            "rows of unknown users or items are off",
            "Of at least 500 positives the mean prediction is more than 20 % off the rate.",
            'Set `train.hide`, such as `hide = {"user.id" = 0.5, "item.id" = 0.5}`.',
        ),
        ReportCheck(
            "R029",
            "warning",
            "a slice fails",
            "It keeps less than half of what the whole has above chance, the intervals do not overlap, and it has 50 rows.",
            "Look at what is known of these rows; read columns that say something of them, or serve them by a baseline.",
        ),
        ReportCheck(
            "R030",
            "warning",
            "a baseline is better in a slice",
            "The model is not worse than it on the whole, but is in this part, and the intervals do not overlap.",
            "Serve the part by the baseline, or give the model what the baseline knows.",
        ),
        ReportCheck(
            "R031",
            "warning",
            "everybody gets the same list",
            "More than four fifths of the places in lists are of the ten items that are shown most.",
            "Look at the loss of the task and at what its query reads; compare with the baseline `popularity`.",
        ),
        ReportCheck(
            "R032",
            "warning",
            "lists collapsed to popularity",
            "More than two thirds of the places are of the ten most popular items, of a catalog of 100 and more.",
            "Train with negatives by popularity or its correction, train longer, or read more of the user.",
        ),
        ReportCheck(
            "R033",
            "note",
            "little of the catalog is shown",
            "The lists hold less than a twentieth of the catalog, though they have places for all of it.",
            "Look at `recommend.diversity`, and at items without a past.",
        ),
        ReportCheck(
            "R034",
            "note",
            "lists are of the own past alone",
            "More than 95 % of the places are of items that the user had lately.",
            "If new items are wanted, set `recommend.seen = false`, and look at the slice `new`.",
        ),
        ReportCheck(
            "R035",
            "note",
            "a baseline's setting at the edge of its grid",
            "The baseline may be better beyond what was tried.",
            "Set the option in the recipe, beyond the edge, and see.",
        ),
        ReportCheck(
            "R036",
            "warning",
            "there is no export",
            "The run is finished and nothing can be served.",
            "Make it: `mtkit export RUN`.",
        ),
        ReportCheck(
            "R037",
            "warning",
            "a task is hurt by others",
            "The task report says that it does better without them.",
            "Train it apart, or share less: another correlation, or an encoder of its own.",
        ),
        ReportCheck(
            "R038",
            "warning",
            "the run warned",
            "Something was not as it should be in training or evaluation.",
            "Do what the message says.",
        ),
        ReportCheck(
            "R039",
            "note",
            "the balancer turned a task off",
            "Its weight is less than a hundredth of the largest.",
            "Set the `weight` of the tasks, or take another balancer, if the task matters.",
        ),
        ReportCheck(
            "R040",
            "error",
            "a figure is undefined",
            "The predictions are not finite, or the test has labels of one kind alone.",
            "Look at the losses and at the label rates.",
        ),
    )
}


ReportCode = Annotated[str, AfterValidator(partial(known_code, checks=REPORT_CHECKS))]
"""The code of a check of a finished run."""
