"""Does a judge, a language model that scores replies, say what customers say?

Frames are those of models/marts/leading: pairs of a judge's score and the CSAT (0 to 100) of the
same request, by indicator, judge and version.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_kpis.frames import table
from agent_kpis.statistics.calibration import auc, auc_interval, isotonic, spearman

KEY = ["indicator", "evaluator_name", "evaluator_version"]
CALIBRATIONS = {
    **dict.fromkeys(KEY, "text"),
    "auc": "number",
    "auc_lower_bound": "number",
    "auc_upper_bound": "number",
    "spearman_rho": "number",
    "spearman_p": "number",
}
DECILES = {
    **dict.fromkeys(KEY, "text"),
    "decile": "count",
    "n": "count",
    "lowest_score": "number",
    "highest_score": "number",
    "mean_score": "number",
    "mean_csat": "number",
    "expected_csat": "number",
}


def calibrations(pairs: pd.DataFrame) -> pd.DataFrame:
    """Per judge and version: the AUC for satisfied customers with its 95% limits, and the rank
    correlation of score and CSAT. Takes int_judge_pairs."""
    rows = []
    for key, own in pairs.groupby(KEY):
        score, satisfied = own.score.to_numpy(dtype=float), own.is_satisfied.to_numpy(dtype=bool)
        lower, upper = auc_interval(score, satisfied)
        rank = spearman(score, own.csat.to_numpy(dtype=float))
        rows.append(
            dict(zip(KEY, key, strict=True))
            | {
                "auc": auc(score, satisfied),
                "auc_lower_bound": lower,
                "auc_upper_bound": upper,
                "spearman_rho": rank.rho,
                "spearman_p": rank.p,
            }
        )
    return table(rows, CALIBRATIONS)


def deciles(pairs: pd.DataFrame) -> pd.DataFrame:
    """Per judge and version the reliability table: CSAT by tenths of the scores, lowest first, and
    what the isotonic fit expects there. Equal scores stay together, so a tenth may be missing or
    larger. Takes int_judge_pairs."""
    rows = []
    for key, own in pairs.groupby(KEY):
        own = pd.DataFrame({name: own[name].to_numpy(dtype=float) for name in ("score", "csat")})
        own["expected"] = isotonic(own.score, own.csat)
        middle = own.score.rank(method="average") - 0.5
        own["decile"] = 1 + np.floor(10 * middle / len(own)).astype(int)
        for decile, part in own.groupby("decile"):
            rows.append(
                dict(zip(KEY, key, strict=True))
                | {
                    "decile": decile,
                    "n": len(part),
                    "lowest_score": part.score.min(),
                    "highest_score": part.score.max(),
                    "mean_score": part.score.mean(),
                    "mean_csat": part.csat.mean(),
                    "expected_csat": part.expected.mean(),
                }
            )
    return table(rows, DECILES)
