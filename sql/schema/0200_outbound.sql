-- What leaves the database: emails, as intents that are recorded before they are sent, and the deliveries
-- of alerts. Written by handlers in their tenant's scope, so row level security confines them.

-- The life of an email:
--
--   queued ──▶ sending ──▶ sent
--     │ ▲         ├──────▶ failed      the provider will never take it
--     │ └─────────┤                    certainly not sent: tried again
--     │           └──────▶ unknown     it may have been sent: a person decides
--     ├──▶ blocked                     a policy forbids it by now
--     └──▶ cancelled                   no longer needed: somebody else was in touch
--   dry_run                            what would have been sent
create table if not exists reactor.email_intents (
    -- Also the Idempotency-Key and the left half of the Message-ID.
    id uuid primary key default reactor.uuid7(),
    tenant_id uuid not null references public.tenants (id) on delete cascade,
    clock_id uuid,
    client_id uuid,
    contact_id uuid,
    status text not null default 'queued' check (
        status in ('queued', 'sending', 'sent', 'failed', 'unknown', 'blocked', 'cancelled', 'dry_run')),
    -- Everything that goes over the wire, so that a repetition is the same message to the byte.
    sender text not null,
    sender_name text not null default '',
    recipient text not null,
    recipient_name text not null default '',
    subject text not null,
    body_text text not null,
    body_html text,
    reply_to text,
    unsubscribe text,
    tone text,
    days_overdue int,
    -- The hour whose allowance this email takes (reactor.reserve_slots).
    slot timestamptz,
    tries int not null default 0,
    provider text,
    provider_message_id text,
    error text,
    created_at timestamptz not null default clock_timestamp(),
    sending_at timestamptz,
    settled_at timestamptz
);

comment on table reactor.email_intents is
'emails, recorded before they are sent; sql/schema/0200_outbound.sql draws their states';

-- One email to a contact at a time.
create unique index if not exists email_intents_open on reactor.email_intents (tenant_id, contact_id)
where status in ('queued', 'sending') and contact_id is not null;
create index if not exists email_intents_tenant on reactor.email_intents (tenant_id, created_at desc);
create index if not exists email_intents_sent on reactor.email_intents (tenant_id, settled_at)
where status = 'sent';
create index if not exists email_intents_settled on reactor.email_intents (settled_at)
where settled_at is not null;

-- One row for each channel that an alert is brought to, and for each decision not to bring it:
--
--   planned ──▶ delivered
--       └─────▶ failed     the channel does not work; another alert says so, elsewhere
--       └─────▶ off        acknowledged before, or the channel is no longer the tenant's
--   quiet   the same alert_type was delivered a moment ago
--   mild    below the tenant's minimum severity
--   no_channel
create table if not exists reactor.alert_deliveries (
    id uuid primary key default reactor.uuid7(),
    tenant_id uuid not null references public.tenants (id) on delete cascade,
    alert_id uuid not null,
    alert_type text not null,
    -- 0: the first delivery; then one higher for each repetition of an unacknowledged critical alert.
    step int not null default 0,
    -- "webhook:" or "email:" and a fingerprint or address; empty when there was no channel to choose.
    channel text not null default '',
    status text not null check (status in ('planned', 'delivered', 'failed', 'quiet', 'mild', 'no_channel', 'off')),
    tries int not null default 0,
    http_status int,
    error text,
    created_at timestamptz not null default clock_timestamp(),
    settled_at timestamptz,
    unique (alert_id, step, channel)
);

comment on table reactor.alert_deliveries is 'where each alert was brought, or why it was not';
create index if not exists alert_deliveries_dedup on reactor.alert_deliveries (tenant_id, alert_type, created_at desc);
create index if not exists alert_deliveries_created on reactor.alert_deliveries (created_at);

-- Channels that want no more: a webhook that answered 410. Another URL in the tenant's settings is another
-- channel; reactor.enable_alert_channel() gives the same one another chance.
create table if not exists reactor.alert_channels_off (
    tenant_id uuid not null references public.tenants (id) on delete cascade,
    channel text not null,
    reason text not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, channel)
);

comment on table reactor.alert_channels_off is 'alert channels that are not used any more, and why';

-- Handlers' rights and policies come from reactor.protect(), see sql/functions/protected_outbound.sql.
do $$
declare
    v_table regclass;
begin
    foreach v_table in array array[
        'reactor.email_intents', 'reactor.alert_deliveries', 'reactor.alert_channels_off']::regclass[]
    loop
        execute format('revoke all on %s from public', v_table);
        execute format('grant select, insert, update, delete on %s to reactor_owner, reactor', v_table);
        execute format('alter table %s enable row level security', v_table);
        execute format('drop policy if exists reactor_engine on %s', v_table);
        execute format('create policy reactor_engine on %s to reactor_owner, reactor using (true) with check (true)',
            v_table);
    end loop;
end
$$;
