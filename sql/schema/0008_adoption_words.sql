-- reactor.adopt_words() once more: the contract's own words in capitals or with blanks around them are those words, and
-- where the contract has a word for everything else ('other'), an unknown one becomes that. A row whose word stayed as
-- it was could never be updated: a CHECK that does not cover older rows refuses their updates all the same.
--
-- (A database that was adopted before this file has no such tools any more, and nothing to adopt.)
do $do$
begin
  if to_regnamespace('reactor_blueprint') is null then
    return;
  end if;
  execute $sql$
    create or replace function reactor.adopt_words(p_table regclass, p_words jsonb) returns void
      language plpgsql
      set search_path = ''
    as $$
    declare
      v_word record;
      v_odd text;
      v_new text;
    begin
      for v_word in select c.key as name, c.value as words from jsonb_each(p_words) c loop
        v_odd := format('%L::jsonb ? lower(t.%I) ', v_word.words, v_word.name);
        if reactor.adopt_archive(p_table, v_odd, format('an older word for %s', v_word.name)) > 0 then
          execute format('update %s t set %2$I = %3$L::jsonb ->> lower(t.%2$I) where %4$s', p_table, v_word.name, v_word.words, v_odd);
        end if;
      end loop;

      -- The words of a column are what its CHECK lists.
      for v_word in
        select a.attname as name, array(
            select m.word[1] from regexp_matches(pg_get_constraintdef(k.oid), '''([^'']+)''::text', 'g') as m (word)) as words
          from pg_catalog.pg_class o
          join pg_catalog.pg_class c on c.relname = o.relname and c.relnamespace = 'reactor_blueprint'::regnamespace
          join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'c' and cardinality(k.conkey) = 1
          join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
         where o.oid = p_table and pg_get_constraintdef(k.oid) like '%= ANY (ARRAY[%'
      loop
        v_new := format('lower(btrim(t.%I, concat('' '', chr(9), chr(10), chr(13))))', v_word.name);
        v_odd := format('t.%I <> all (%L::text[]) and %s = any (%2$L::text[])', v_word.name, v_word.words, v_new);
        if reactor.adopt_archive(p_table, v_odd, format('%s in other letters', v_word.name)) > 0 then
          execute format('update %s t set %I = %s where %s', p_table, v_word.name, v_new, v_odd);
        end if;
        if 'other' = any (v_word.words) then
          v_odd := format('t.%I <> all (%L::text[])', v_word.name, v_word.words);
          if reactor.adopt_archive(p_table, v_odd, format('an unknown word for %s', v_word.name)) > 0 then
            execute format('update %s t set %I = ''other'' where %s', p_table, v_word.name, v_odd);
          end if;
        end if;
      end loop;
    end
    $$
  $sql$;
end
$do$;
