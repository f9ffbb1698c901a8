-- Refusals and failures of the email provider. Partitioned by the time in the id, a week each.
create table reactor_blueprint.email_provider_failures (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  error_type text not null,
  error_message text,
  provider text default 'resend',
  created_at timestamptz not null default now()
) partition by range (id);

create index idx_email_failures_recent on reactor_blueprint.email_provider_failures (tenant_id, created_at desc);

select reactor.adopt_table('email_provider_failures', 'week', 6);
select reactor.isolate('public.email_provider_failures');
select reactor.take_ownership('public.email_provider_failures');
