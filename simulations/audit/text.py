"""The audit in words: the verdict first, then what was attacked, then every question."""

from __future__ import annotations

from fedvox.simulations.audit.audit import Audit, study_epsilon

_HEADS = ("question", "seen", "due", "")


def as_text(audit: Audit) -> str:
    """The report for the terminal."""
    return "\n".join([verdict(audit), "", *_attacked(audit), "", *_table(audit), *_notes(audit)])


def verdict(audit: Audit) -> str:
    """One line."""
    if not audit.found:
        return f"{audit.wish.run}: nothing found at {audit.target.site}"
    names = ", ".join(check.name for check in audit.found)
    return f"{audit.wish.run}: VIOLATION at {audit.target.site}, found by: {names}"


def _attacked(audit: Audit) -> list[str]:
    terms, canaries, whole = audit.attacked.terms, audit.attacked.canaries, audit.target.terms
    return [
        f"study     epsilon {study_epsilon(audit.target):.2f} at delta {whole.delta:g} over "
        f"{whole.rounds * whole.steps_per_round} steps",
        f"attacked  {len(audit.attacked.steps)} of these steps, with the site's own engine: rate "
        f"{terms.sample_rate:.4g}, noise {terms.noise_multiplier:.4g}, clip {terms.clip_norm:g}",
        f"canaries  {len(canaries.took_part)} beside {len(audit.target.people)} patients, "
        f"{int(canaries.took_part.sum())} of them took part; each moves one number of the model",
        "attacker  sees every noisy step, the weights and where each canary points, but not who "
        "was drawn",
        f"charged   epsilon {audit.membership.epsilon_charged:.2f} for the attacked steps at delta "
        f"{audit.membership.delta:.2g}; at least {audit.membership.guessed.epsilon:.2f} was shown, "
        f"with a confidence of {audit.membership.confidence:.0%}",
    ]


def _table(audit: Audit) -> list[str]:
    rows = [_HEADS, *((c.name, c.seen, c.due, "FOUND" if c.found else "-") for c in audit.checks)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        .rstrip()
        for row in rows
    ]  # fmt: skip


def _notes(audit: Audit) -> list[str]:
    notes = [f"{check.name}: {check.meaning}" for check in audit.found]
    inversion = audit.inversion
    if inversion and not inversion.found:
        without = "was" if inversion.found_bare else "was not"
        notes.append(
            f"Gradient inversion: the image was not found in the noisy update; without noise it "
            f"{without}."
        )
    if audit.membership.guessed.most <= audit.membership.epsilon_charged:
        notes.append(
            f"Membership: so many canaries show an epsilon of {audit.membership.guessed.most:.2f} "
            "at most, less than was charged; give more --canaries, or fewer --steps."
        )
    if not audit.found:
        notes.append("An audit can show a promise broken, never that it holds.")
    return ["", *notes] if notes else []
