"""The app with the built-in automations; ``reactor run`` without --app runs it.

Its handlers are gated: they wait while the kill switch or the tenant is off. Alert delivery is not,
because an operator wants to hear of it.
"""

from reactor.app import Reactor
from reactor.automation.engagement import handle_overdue
from reactor.automation.order_handler import process_orders
from reactor.automation.resources import builtin_resources

app = Reactor(lifespan=builtin_resources)

app.on("order.queued", batch=200, gated=True)(process_orders)
app.on("engagement.overdue", batch=100, gated=True)(handle_overdue)
