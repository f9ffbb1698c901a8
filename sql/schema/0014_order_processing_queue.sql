-- Orders that wait to be validated, and what was found.
create table reactor_blueprint.order_processing_queue (
  id uuid primary key default reactor.uuid7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  order_id uuid not null references public.orders (id) on delete cascade,
  status text not null default 'pending' check (status in ('pending', 'processing', 'validated', 'exception', 'skipped')),
  queued_at timestamptz not null default now(),
  processed_at timestamptz,
  pricing_valid boolean,
  credit_valid boolean,
  requirements_valid boolean,
  auto_fixes jsonb not null default '[]',
  unique (tenant_id, order_id)
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

create index idx_order_processing_pending on reactor_blueprint.order_processing_queue (tenant_id, queued_at) where status = 'pending';
-- Ours: deleting an order must find its queue row.
create index idx_order_processing_order on reactor_blueprint.order_processing_queue (order_id);

select reactor.adopt_table('order_processing_queue', p_words => '{
  "status": {"queued": "pending", "new": "pending", "running": "processing", "done": "validated", "completed": "validated",
             "processed": "validated", "valid": "validated", "error": "exception", "failed": "exception", "ignored": "skipped"}
}');
select reactor.isolate('public.order_processing_queue');
