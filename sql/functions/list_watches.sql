--! requires: parse_ident_list, is_outdated
-- What reactor.watch() installed, and whether it is still there: a table may have been renamed, replaced, or
-- its triggers dropped or disabled. state: 'ok', 'no table', 'no trigger', 'disabled', 'no column' (one that it reads was
-- renamed or dropped, so that every write fails), or 'outdated': it works, as an older version wrote it. Called by
-- `reactor watches` and `reactor doctor`.
create or replace function reactor.list_watches()
returns table (
    table_name text,
    event_type text,
    operations text[],
    tenant_column text,
    subject_column text,
    payload_columns text[],
    condition text,
    created_at timestamptz,
    state text
)
language plpgsql stable security definer set search_path = ''
as $$
#variable_conflict use_column
begin
    return query
    select
        coalesce(x.relation::text, format('%I.%I', w.table_schema, w.table_name)),
        w.event_type, w.operations, w.tenant_column, w.subject_column, w.payload_columns, w.condition, w.created_at,
        case
            -- (By the catalog: to_regclass() fails for a schema that this function's owner may not use.)
            when x.there is null and not exists (
                select from pg_catalog.pg_class c
                join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                where n.nspname = w.table_schema and c.relname = w.table_name) then 'no table'
            when coalesce(x.there, 0) < cardinality(w.operations) then 'no trigger'
            when x.working < x.there then 'disabled'
            when exists (
                select
                from (
                    select n.name from unnest(array[w.tenant_column, w.subject_column] || w.payload_columns) as n (name)
                    union all
                    select l.name::text
                    from unnest(w.operations) as o (operation)
                    cross join reactor.parse_ident_list(
                        substring(o.operation from '(?i)^[[:space:]]*update[[:space:]]+of[[:space:]]+(.+)$')) as l (name)) c
                where c.name is not null and not exists (
                    select from pg_catalog.pg_attribute a
                    where a.attrelid = x.id and a.attname = c.name and a.attnum > 0 and not a.attisdropped)) then 'no column'
            when reactor.is_outdated(w, x.id) then 'outdated'
            else 'ok' end
    from reactor.watches w
    left join lateral (
        select max(t.tgrelid) as id, max(t.tgrelid::regclass::text) as relation, count(*) as there,
            count(*) filter (where t.tgenabled in ('O', 'A')) as working
        from pg_catalog.pg_trigger t
        join pg_catalog.pg_proc p on p.oid = t.tgfoid and p.proname = w.function_name
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace and n.nspname = 'reactor'
        having count(*) > 0
    ) x on true
    order by 1, 2;
end;
$$;

revoke all on function reactor.list_watches() from public;
grant execute on function reactor.list_watches() to reactor;
