-- By whom a row is: the automations look up a client's orders, contacts and cards for each batch, and deleting a
-- client, contact or product must find what refers to it. Without these each reads the whole table.
--
-- An application's own table may lack the column, have it of another type, or have an index of its own: then nothing
-- is done. Where the table is large its writers wait while the index is built; to spare them, make it beforehand
-- with `create index concurrently`.
do $$
declare
    v_wanted record;
begin
    for v_wanted in
        select c.relname as table_name, a.attname as column_name
        from (values
            ('contacts', 'client_id'),
            ('orders', 'client_id'),
            ('orders', 'product_id'),
            ('kanban_cards', 'client_id'),
            ('kanban_cards', 'contact_id'),
            ('email_suppressions', 'contact_id')) as w (table_name, column_name)
        join pg_catalog.pg_class c
            on c.relnamespace = 'public'::regnamespace and c.relname = w.table_name and c.relkind in ('r', 'p')
        join pg_catalog.pg_attribute a
            on a.attrelid = c.oid and a.attname = w.column_name and a.attnum > 0 and not a.attisdropped
            and a.atttypid = 'uuid'::regtype
        where not exists (
            select from pg_catalog.pg_index i
            join pg_catalog.pg_class k on k.oid = i.indexrelid
            join pg_catalog.pg_am m on m.oid = k.relam
            where i.indrelid = c.oid and i.indkey[0] = a.attnum and i.indpred is null and i.indisvalid
                and m.amname = 'btree')
        order by 1, 2
    loop
        execute format('create index on public.%I (%I)', v_wanted.table_name, v_wanted.column_name);
    end loop;
end
$$;

-- Whether a contact was written to since a clock's deadline.
create index if not exists email_intents_contact on reactor.email_intents (tenant_id, contact_id, settled_at)
where status = 'sent';
