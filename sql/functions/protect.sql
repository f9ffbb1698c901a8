--! requires: put_tenant_policies, open_sequences
-- Makes a table fit for handlers: they see and change the rows of their own tenant, and nothing else.
-- Called once a table by whoever owns it, and for the contract's and the host's tables by the migration. What an older
-- version wrote, `reactor migrate` renews (reactor.renew_protection).
--
-- Where row level security was off, a policy for everybody else is added beside the handlers', so that
-- nobody else notices (but for COPY … FROM, which PostgreSQL refuses under row level security to all but
-- the owner and roles with BYPASSRLS). Where it was on, the others' policies stay as they are.
create or replace function reactor.protect(p_table regclass, p_tenant_column name default 'tenant_id') returns void
  language plpgsql
  set search_path = ''
  -- Else each policy that is dropped before it is made says that it was not there.
  set client_min_messages = 'warning'
as $$
declare
  v_kind "char";
  v_secured boolean;
  v_schema name;
  v_type regtype;
begin
  select c.relkind, c.relrowsecurity, n.nspname into v_kind, v_secured, v_schema
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = p_table;
  if v_kind is null or v_kind not in ('r', 'p') then
    raise exception '% is not a table', coalesce(p_table::text, 'NULL')
      using errcode = 'RX003', hint = 'Row level security guards tables; protect the tables a view reads from.';
  end if;
  select a.atttypid::regtype into v_type from pg_catalog.pg_attribute a
   where a.attrelid = p_table and a.attname = p_tenant_column and a.attnum > 0 and not a.attisdropped;
  if v_type is null then
    raise exception 'table % has no column %', p_table, p_tenant_column
      using errcode = 'RX003', hint = 'Name the column that holds the tenant: reactor.protect(table, column).';
  elsif v_type <> 'uuid'::regtype then
    raise exception 'column % of table % is of type %, a tenant is a uuid', p_tenant_column, p_table, v_type
      using errcode = 'RX003';
  end if;

  if not has_schema_privilege('reactor_handler', v_schema, 'usage') then
    execute format('grant usage on schema %I to reactor_handler', v_schema);
  end if;
  execute format('grant select, insert, update, delete on %s to reactor_handler', p_table);
  perform reactor.open_sequences(p_table);

  if not v_secured then
    execute format('drop policy if exists reactor_others on %s', p_table);
    execute format('create policy reactor_others on %s using (true) with check (true)', p_table);
    execute format('alter table %s enable row level security', p_table);
  end if;

  perform reactor.put_tenant_policies(p_table, p_tenant_column);
end
$$;
revoke all on function reactor.protect(regclass, name) from public;
