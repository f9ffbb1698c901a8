-- Since when an event can be handled that could not be from the start: when its delay ended, its gate opened, or a
-- person put it back. How long it waits is counted from there. Null: since it was created. No index has it, and no
-- writer fills it in.
alter table reactor.events add column if not exists ready_at timestamptz;
