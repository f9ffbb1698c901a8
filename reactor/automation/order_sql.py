"""The statements of the order automation, in the order in which a batch runs them.

Their number does not depend on the size of the batch: two read, at most six write. All run in the handler's
transaction, where row level security shows the tenant's rows only; so a statement names the tenant only where
it inserts a row.
"""

from typing import Final, LiteralString

# Takes the rows that will be judged and changed. Orders are locked before their queue rows, and no lock is
# waited for. An application goes the same way (save the order, then queue it; deleting an order cascades to
# its queue row), so waiting could end in a deadlock with it, and one forgotten open transaction of the
# application would hold up all other orders of the tenant.
LOCK: Final[LiteralString] = """
select q.id
from public.orders o
join public.order_processing_queue q on q.order_id = o.id
where q.id = any ($1::uuid[]) and q.status = 'pending'
for no key update of o, q skip locked
"""

# Reads the batch. A statement of its own after LOCK, so that its snapshot is younger than the locks: what it
# sees of a locked order stays true until we commit.
#
# `taken` is what validated orders take of their client's credit until they are billed. The queue row says
# whether an order was validated, by us or by a person; the order's own status is the application's. It is
# read in one snapshot with the client's balance: an application that bills an order moves its amount from the
# one to the other, and two snapshots could miss it or count it twice. No lock on the client is needed: one
# run at a time works for a tenant (its lease, which is checked again as the transaction commits), so nobody
# else validates an order of these clients between this reading and our commit.
#
# Every row is looked up by its id or client, in laterals that cannot be flattened (`offset 0`): the planner
# takes a batch for a good part of a tenant's rows, and would read the tenant's whole queue for each.
#
# An application's own table may have an enum for a status, a number for a zip code or a phone, and a float
# for an amount, hence the casts.
LOAD: Final[LiteralString] = """
with batch as materialized (
    select
        q.id as queue_id, q.status as queue_status, q.order_id,
        o.id as found_order, o.client_id, o.status::text as order_status,
        o.payment_method::text as payment_method, o.fee_amount::numeric as fee_amount,
        o.total_amount::numeric as total_amount, o.tech_fee::numeric as tech_fee,
        o.property_address::text as property_address, o.property_city::text as property_city,
        o.property_state::text as property_state, o.property_zip::text as property_zip,
        o.borrower_name::text as borrower_name, o.borrower_email::text as borrower_email,
        o.borrower_phone::text as borrower_phone, o.property_contact_phone::text as property_contact_phone,
        p.id as found_product, p.min_price::numeric as min_price, p.max_price::numeric as max_price,
        c.id as found_client, c.is_active,
        c.credit_limit::numeric as credit_limit, c.balance::numeric as balance
    from unnest($1::uuid[]) as w (id)
    cross join lateral (select q.* from public.order_processing_queue q where q.id = w.id offset 0) q
    left join lateral (select o.* from public.orders o where o.id = q.order_id offset 0) o on true
    left join lateral (select p.* from public.products p where p.id = o.product_id offset 0) p on true
    left join lateral (select c.* from public.clients c where c.id = o.client_id offset 0) c on true
),
taken as (
    select o.client_id, sum(o.total_amount::numeric) as amount
    from (select distinct b.client_id from batch b where b.payment_method = $2) b
    cross join lateral (select o.* from public.orders o where o.client_id = b.client_id offset 0) o
    cross join lateral (
        select q.* from public.order_processing_queue q where q.order_id = o.id offset 0) q
    where o.payment_method::text = $2
        and (o.status is null or lower(o.status::text) <> all ($3::text[]))
        and q.status = 'validated'
    group by o.client_id
)
select b.*, coalesce(t.amount, 0) as taken
from batch b
left join taken t on t.client_id = b.client_id
"""

# Corrects orders: only those with something to correct, and of those only the fields in question.
CORRECT: Final[LiteralString] = """
update public.orders o
set total_amount = coalesce(d.total_amount, o.total_amount), tech_fee = coalesce(d.tech_fee, o.tech_fee)
from unnest($1::uuid[], $2::numeric[], $3::numeric[]) as d (id, total_amount, tech_fee)
where o.id = d.id
"""

# Finishes the queue rows. Their processed_at are a microsecond apart, in the order in which they were judged:
# whoever asks later which order came first for a client's credit finds it here.
FINISH: Final[LiteralString] = """
with t as materialized (select reactor.now() as now)
update public.order_processing_queue q
set
    status = d.status,
    processed_at = t.now + d.n * interval '1 microsecond',
    pricing_valid = d.pricing_valid,
    credit_valid = d.credit_valid,
    requirements_valid = d.requirements_valid,
    auto_fixes = d.auto_fixes::jsonb
from t, unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[], $5::boolean[], $6::text[])
    with ordinality as d (id, status, pricing_valid, credit_valid, requirements_valid, auto_fixes, n)
where q.id = d.id and q.status = 'pending'
returning q.id
"""

# Of those that FINISH did not finish, what somebody else has not finished either.
STILL_PENDING: Final[LiteralString] = """
select count(*) from public.order_processing_queue q where q.id = any ($1::uuid[]) and q.status = 'pending'
"""

# Closes what an earlier validation of the same orders had found, and says what was ever found: a person may
# have closed it before us, and its card is there all the same.
RESOLVE: Final[LiteralString] = """
with closed as (
    update public.order_processing_exceptions e
    set resolved = true, resolved_at = reactor.now()
    where e.order_id = any ($1::uuid[]) and not e.resolved
)
select distinct e.order_id, e.exception_type
from public.order_processing_exceptions e
where e.order_id = any ($1::uuid[])
"""

# Records the findings, and raises an alert for each critical one. Returns how many of either.
RECORD: Final[LiteralString] = """
with recorded as (
    insert into public.order_processing_exceptions
        (tenant_id, order_id, queue_id, exception_type, severity, message, details, created_at)
    select
        $1::uuid, d.order_id, d.queue_id, d.exception_type, d.severity, d.message, d.details::jsonb,
        reactor.now()
    from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
        as d (order_id, queue_id, exception_type, severity, message, details)
    returning id, order_id, queue_id, exception_type, severity, message, details
),
raised as (
    insert into public.agent_alerts (tenant_id, alert_type, severity, message, metadata, created_at)
    select
        $1::uuid, 'order_exception', 'critical', format('Order %s: %s', r.order_id, r.message),
        r.details || jsonb_build_object(
            'order_id', r.order_id, 'queue_id', r.queue_id,
            'exception_id', r.id, 'exception_type', r.exception_type),
        reactor.now()
    from recorded r
    where r.severity = 'critical'
    returning 1
)
select (select count(*) from recorded) as recorded, (select count(*) from raised) as raised
"""

# Puts a card on the board for a person. The id is made from the order and the exception's type, so the same
# trouble found again meets its own card: an open one is refreshed where it stands, one that was put away
# comes back as a suggestion, and there are never two.
PROPOSE: Final[LiteralString] = """
insert into public.kanban_cards as k
    (id, tenant_id, client_id, type, title, description, rationale, priority, state, action_payload)
select
    d.id, $1::uuid, d.client_id, 'create_task', d.title, d.description, d.rationale, d.priority, 'suggested',
    d.action_payload::jsonb
from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    as d (id, client_id, title, description, rationale, priority, action_payload)
on conflict (id) do update
set
    client_id = excluded.client_id,
    title = excluded.title,
    description = excluded.description,
    rationale = excluded.rationale,
    priority = excluded.priority,
    action_payload = excluded.action_payload,
    state = case when k.state in ('done', 'rejected') then 'suggested' else k.state end
returning (xmax = 0) as created
"""

# Takes back the suggestions whose trouble is over. A card that a person has taken up is left to the person.
WITHDRAW: Final[LiteralString] = """
update public.kanban_cards k
set
    state = 'done',
    action_payload = k.action_payload || '{"withdrawn": "the order was validated again without this finding"}'
where k.id = any ($1::uuid[]) and k.state = 'suggested'
"""
