"""What must hold for every answer, whatever a model says: rules an agent at the shop would state in a sentence."""


def fraud_is_urgent(case, answer):
    if answer["intent"] == "fraud_report" and answer["priority"] != "high":
        return "a report of fraud is always of high priority"
    return None


def an_order_is_not_out_of_scope(case, answer):
    if answer["intent"] == "other" and answer["order_id"] and answer["amount"]:
        return "a message with an order number and an amount is about an order, not out of scope"
    return None
