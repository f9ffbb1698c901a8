-- order.queued: a row enters the queue as 'pending', by insert or by a later update back to it.
-- Of many updated at once each is paired with its own past: see reactor.watch().
select reactor.watch(
    'public.order_processing_queue', 'order.queued', '{insert,update of status}',
    condition => $$new.status = 'pending'$$);
