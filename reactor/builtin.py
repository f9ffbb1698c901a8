"""The app with the built-in automations; ``reactor run`` without --app runs it.

What acts for a tenant is gated: it waits while the kill switch or the tenant is off. The delivery of
alerts is not, because an operator wants to hear of it.
"""

from reactor.app import Reactor
from reactor.automation.alert_delivery import deliver_to_channel
from reactor.automation.alerts import DELIVER_EVENT, ESCALATE_EVENT, deliver_alert, escalate_alert
from reactor.automation.engagement import OVERDUE_EVENT, SCORE_EVENT, SEND_EVENT, handle_overdue, score_clocks
from reactor.automation.jobs import check_rules, prune, reflect, rescore
from reactor.automation.order_handler import process_orders
from reactor.automation.resources import builtin_resources
from reactor.automation.sending import send_email

app = Reactor(lifespan=builtin_resources)

app.on("order.queued", batch=200, gated=True)(process_orders)
app.on(OVERDUE_EVENT, batch=100, gated=True)(handle_overdue)
app.on(SEND_EVENT, gated=True)(send_email)
app.on(SCORE_EVENT, gated=True)(score_clocks)

app.on("alert.created")(deliver_alert)
app.on(ESCALATE_EVENT)(escalate_alert)
app.on(DELIVER_EVENT)(deliver_to_channel)

# The leader's, for all tenants. Reflections and rules look often, and write once an hour.
app.every("5m", name="reactor.reflections")(reflect)
app.every("5m", name="reactor.rules")(check_rules)
app.every("1h", name="reactor.scores")(rescore)
app.every("1h", name="reactor.outbound")(prune)
