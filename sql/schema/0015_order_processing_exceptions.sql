-- What a person must look at before an order can go on.
create table reactor_blueprint.order_processing_exceptions (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  order_id uuid not null references public.orders (id) on delete cascade,
  queue_id uuid references public.order_processing_queue (id) on delete cascade,
  exception_type text not null check (exception_type in ('pricing', 'credit', 'requirements', 'other')),
  severity text not null default 'warning' check (severity in ('info', 'warning', 'error', 'critical')),
  message text,
  details jsonb,
  resolved boolean not null default false,
  resolved_at timestamptz,
  resolved_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now()
);

create index idx_order_exceptions_unresolved on reactor_blueprint.order_processing_exceptions (tenant_id, created_at desc) where resolved = false;
-- Ours: deleting a tenant, an order, a queue row or a person must find the exceptions.
create index idx_order_exceptions_tenant on reactor_blueprint.order_processing_exceptions (tenant_id, created_at desc);
create index idx_order_exceptions_order on reactor_blueprint.order_processing_exceptions (order_id);
create index idx_order_exceptions_queue on reactor_blueprint.order_processing_exceptions (queue_id);
create index idx_order_exceptions_resolved_by on reactor_blueprint.order_processing_exceptions (resolved_by) where resolved_by is not null;

select reactor.adopt_table('order_processing_exceptions', p_words => '{
  "exception_type": {"price": "pricing", "requirement": "requirements", "missing_data": "requirements", "unknown": "other"},
  "severity": {"low": "info", "notice": "info", "medium": "warning", "warn": "warning", "high": "error", "fatal": "critical"}
}');
select reactor.isolate('public.order_processing_exceptions');
