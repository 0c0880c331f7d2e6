"""What must hold for every answer, whatever a model says: what a bookkeeper would notice. Amounts have the document's signs."""

import re

MARKS = {
    "EUR": r"€|(?<![a-z])eur(?:os?)?(?![a-z]|-)",
    "USD": r"\$|(?<![a-z])usd(?![a-z])",
    "GBP": r"£|(?<![a-z])gbp(?![a-z])",
    "CHF": r"(?<![a-z])(?:chf(?![a-z])|s?fr\.\s*[0-9)])",
    "SEK": r"[0-9]\s?(?:kr(?![a-z])|:-)|(?<![a-z])(?:sek(?![a-z])|kr\.?\s*[0-9])",
    "PLN": r"(?<![a-z])(?:pln|zł)(?![a-z])",
}


def net_and_tax_make_the_total(case, answer):
    net, tax, total = answer["net"], answer["tax"], answer["total"]
    if None not in (net, tax, total) and abs(net + tax - total) >= 0.005:
        return f"net {net} and tax {tax} make {net + tax:.2f}, not {total}"
    return None


def due_after_issue(case, answer):
    issued, due = answer["issue_date"], answer["due_date"]
    return f"due on {due}, before it was issued on {issued}" if issued and due and due < issued else None


def lines_fit_the_sums(case, answer):
    """Lines leave out discounts and delivery, so only what these cannot explain is wrong: half as much again, or half of it."""
    sums = [abs(answer[name]) for name in ("net", "total") if answer[name] is not None]
    lines = abs(sum(line["amount"] for line in answer["lines"]))
    if sums and answer["lines"] and not min(sums) / 2 <= lines <= max(sums) * 1.5:
        return f"the lines add up to {lines:.2f}, far from {' and '.join(map(str, sums))}"
    return None


def amounts_are_plausible(case, answer):
    amounts = [answer["net"], answer["tax"], answer["total"], *(line["amount"] for line in answer["lines"])]
    largest = max((abs(amount) for amount in amounts if amount is not None), default=0)
    if largest >= 1_000_000:
        return f"an amount of {largest}"
    base = answer["total"] if answer["total"] is not None else answer["net"]
    if answer["tax"] and base is not None and not 0 <= answer["tax"] / (base or 1) <= 0.3:
        return f"a tax of {answer['tax']} on {base}"
    return None


def currency_is_as_printed(case, answer):
    printed = [currency for currency, mark in MARKS.items() if re.search(mark, case.text, re.IGNORECASE)]
    if answer["currency"] not in (printed or [None]):
        return f"currency {answer['currency']}, but the text prints {' and '.join(printed) or 'none'}"
    return None


def orders_have_no_due_date(case, answer):
    if answer["kind"] == "purchase_order" and (answer["due_date"] or answer["order_number"]):
        return "a purchase order has its own number only, and nothing is due yet"
    return None
