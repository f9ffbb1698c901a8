-- alert.created: a row enters agent_alerts.
select reactor.watch('public.agent_alerts', 'alert.created', '{insert}');
