"""What a day must have come to, counted from its script alone: plain Python, none of the automation's code.

The one thing it is told of the day itself are the runs that there were, since how work is cut into runs is
nobody's promise: they are needed for the rule about failing runs, and for the hours that had any.
"""

from __future__ import annotations

from collections import defaultdict

from tests.automation import day_script as script
from tests.automation.day_books import DAY, HOUR, Books, Email, State
from tests.automation.day_script import KINDS, Act, Contact, Order

SERIOUS = ("error", "critical")


class Oracle(Books):
    """Goes through the day; afterwards its attributes say what must be found."""

    def run(self) -> Oracle:
        self.stopped = False
        for now in script.moves():
            for act in script.ACTS:
                if act.at == now:
                    self.act(act, now)
            for name, state in self.states.items():
                for contact in state.tenant.contacts:
                    if contact.due == now:
                        state.overdue.append((now, None, contact))
                if now % 20 == 18 and state.tenant.active:
                    self.rules(name, state, now)
                if state.locked_until > now:
                    continue
                if not self.stopped and state.enabled and state.tenant.active:
                    self.orders(name, state, now)
                    self.engage(name, state, now)
                    self.send(name, state, now)
                self.others(name, state, now)
                self.deliver(name, state, now)
        return self

    def act(self, act: Act, now: int) -> None:
        state = self.states[act.tenant] if act.tenant else None
        match act.what:
            case "kill switch":
                self.stopped = act.on
        if state is None:
            return
        match act.what:
            case "order" if act.order is not None:
                state.orders.append(act.order)
            case "delete order":
                state.orders = [order for order in state.orders if order.name != act.name]
            case "mend order":
                state.orders.append(Order("good", name=act.name))
            case "enable":
                state.enabled = act.on
            case "settings":
                state.settings = dict(act.settings)
            case "suppress contact" | "suppress address":
                state.suppressed.add(self._named(state, act.name))
            case "touch":
                state.touched.add(self._named(state, act.name))
                self.note(act.tenant, now, contacts_touched=1)
            case "lock":
                state.locked_until = now + act.minutes
            case "emit":
                state.events.append(act.name)
            case "alert":
                self.alert(act.tenant, act.name, act.severity, now)
            case "acknowledge":
                for alert in state.alerts:
                    if alert.type == act.name and alert.acknowledged is None:
                        alert.acknowledged = now

    @staticmethod
    def _named(state: State, name: str) -> str:
        """A contact by name, or by whose turn it is among those who wait."""
        waiting = sorted(email.slot or 0 for email in state.emails)
        if name in ("second", "third"):
            [email] = [email for email in state.emails if email.slot == waiting[0]]
            return email.contact.name
        return name

    def orders(self, name: str, state: State, now: int) -> None:
        for order in state.orders:
            if order.kind == "foreign":
                self.queue[name, "skipped"] += 1
                self.note(name, now, actions_planned=1)
                continue
            findings = list(KINDS[order.kind][1])
            findings += self._credit(state, order)
            valid = not any(severity in SERIOUS for _, severity in findings)
            cards = len({kind for kind, severity in findings if severity in SERIOUS})
            status = "validated" if valid else "exception"
            self.note(
                name,
                now,
                actions_planned=1,
                actions_executed=1,
                cards_created=cards,
                exceptions_raised=len(findings),
                **{"orders_validated" if valid else "orders_with_exceptions": 1},
            )
            if order.name in state.judged:  # queued again
                self.queue[name, state.judged[order.name]] -= 1
            if order.name:
                state.judged[order.name] = status
            self.queue[name, status] += 1
            for kind, severity in findings:
                self.exceptions[name, kind, severity] += 1
                if severity == "critical":
                    self.alert(name, "order_exception", "critical", now)
        state.orders = []

    @staticmethod
    def _credit(state: State, order: Order) -> list[tuple[str, str]]:
        client = next((c for c in state.tenant.clients if c.name == order.client), None)
        if client is None or order.total is None:
            return []
        found = [] if client.active else [("credit", "critical")]
        in_use = client.balance + state.taken[client.name]
        if order.total > client.limit - in_use:
            found.append(("credit", "error"))
        if (in_use + order.total) * 10 > client.limit * 8:
            found.append(("credit", "warning"))
        if not any(severity in SERIOUS for _, severity in found):
            state.taken[client.name] += order.total
        return found

    def engage(self, name: str, state: State, now: int) -> None:
        looked = [item for item in state.overdue if item[0] <= now]
        if not looked:
            return
        state.overdue = [item for item in state.overdue if item[0] > now]
        if "templates" in state.settings:  # broken, in this script
            if not any(alert.type == "settings_invalid" for alert in state.alerts):
                self.alert(name, "settings_invalid", "critical", now)
            state.overdue += [(now + 15, slot, contact) for _, slot, contact in looked]
            return
        mode = state.settings.get("email_mode", "suggest")
        allowed = state.settings.get("allowed_action_types")
        self.note(name, now, actions_planned=len(looked))
        wanted: dict[str, list[Contact]] = defaultdict(list)
        for _, slot, contact in looked:
            kind = (
                "create_task" if not contact.email else "email_suggest" if mode == "suggest" else "email_send"
            )
            if allowed is not None and kind not in allowed:
                self.block(name, "allowed_action_types", now)
            elif contact.name in state.suppressed:
                self.block(name, "suppression", now)
            elif slot is not None and slot == now // HOUR * HOUR:
                self.note(name, now, cards_created=1, actions_executed=1)
            else:
                wanted[kind].append(contact)
        for kind, contacts in wanted.items():
            for contact, slot in zip(
                contacts, self.reserve(name, state, kind, len(contacts), now), strict=True
            ):
                late = slot > now
                if late:
                    self.block(name, "rate_limit", now)
                if kind == "email_send" and mode == "dry_run":
                    self.intents[name, "dry_run"] += 1
                elif kind == "email_send":
                    state.emails.append(Email(contact, slot, slot if late else now))
                elif late:
                    state.overdue.append((slot, slot, contact))
                else:
                    self.note(name, now, cards_created=1, actions_executed=1)

    def reserve(self, name: str, state: State, kind: str, count: int, now: int) -> list[int]:
        """The hours in which so many actions have a place: this one, then those after the last taken one."""
        hour = now // HOUR * HOUR
        sends = kind == "email_send"
        per_hour = state.settings.get("max_emails_per_hour", 20) if sends else 10**9
        per_day = state.settings.get("max_emails_per_day", 100) if sends else 10**9
        actions = state.settings.get("max_actions_per_hour", 100)
        ahead = [w for (tenant, k, w) in self.windows if tenant == name and k == kind and w > hour]
        candidates = [hour, *range(max([hour + HOUR, *ahead]), hour + 3 * DAY, HOUR)]
        places: list[int] = []
        for window in candidates:
            day = range(window // DAY * DAY, window // DAY * DAY + DAY, HOUR)
            while (
                len(places) < count
                and self.windows[name, kind, window] < per_hour
                and sum(self.windows[name, kind, w] for w in day) < per_day
                and self.windows[name, "action", window] < actions
            ):
                self.windows[name, kind, window] += 1
                self.windows[name, "action", window] += 1
                places.append(window)
        return places

    def block(self, name: str, policy: str, now: int) -> None:
        self.violations[name, policy] += 1
        self.note(name, now, actions_blocked=1, policy_violations=1)

    def send(self, name: str, state: State, now: int) -> None:
        due = [email for email in state.emails if email.due <= now]
        state.emails = [email for email in state.emails if email.due > now]
        for email in due:
            contact, hour = email.contact, now // HOUR * HOUR
            if contact.name in state.touched:
                self.intents[name, "cancelled"] += 1
                continue
            if state.settings.get("email_mode") != "send":
                self.intents[name, "cancelled"] += 1
                state.overdue.append((now, None, contact))
                continue
            if contact.name in state.suppressed:
                self.intents[name, "blocked"] += 1
                self.block(name, "suppression", now)
                continue
            if email.slot != hour:  # it missed its hour
                [email.slot] = self.reserve(name, state, "email_send", 1, now)
                if email.slot > now:
                    self.block(name, "rate_limit", now)
                    email.due = email.slot
                    state.emails.append(email)
                    continue
            self._ask_the_server(name, state, email, now)
        self.engage(name, state, now)

    def _ask_the_server(self, name: str, state: State, email: Email, now: int) -> None:
        address = f"{email.contact.name}@{name}.test"
        assert name == "outage" or not script.SMTP_DOWN[0] <= now < script.SMTP_DOWN[1]
        if self._circuit_pause and now * 60 < self._circuit_opened + self._circuit_pause:
            email.due = now + 1  # at the next move, unless it is still open
            state.emails.append(email)
            return
        if script.SMTP_DOWN[0] <= now < script.SMTP_DOWN[1]:
            self.fail(name, "5xx", now)
            self._circuit_fails += 1
            if self._circuit_fails >= 5:
                self._circuit_pause = min(self._circuit_pause * 2 or 30, 900)
                self._circuit_opened = now * 60
            email.due = now + 1
            state.emails.append(email)
            return
        self._circuit_fails = self._circuit_pause = 0
        if address == script.BAD_ADDRESS:
            self.fail(name, "refused", now)
            self.intents[name, "failed"] += 1
            self.note(name, now, cards_created=1)
            return
        self.intents[name, "sent"] += 1
        self.recipients[address] += 1
        state.touched.add(email.contact.name)
        self.note(name, now, emails_sent=1, actions_executed=1, contacts_touched=1)

    def fail(self, name: str, error_type: str, now: int) -> None:
        self.failures[name, error_type] += 1
        self.note(name, now, email_failures=1)
        lately = sum(self.ticks[name, t]["email_failures"] for t in range(now - 14, now + 1))
        if lately >= 5 and not self._raised_lately(name, "provider_failure", now):
            self.alert(name, "provider_failure", "critical", now, not_by_email=True)
