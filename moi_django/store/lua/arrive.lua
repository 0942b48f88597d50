-- Note how far the scheduler of a context has come; of two times the later is kept.
-- KEYS: dispatched
-- ARGS: sent lifetime

local latest = redis.call('GET', dispatched_key)
if not latest or tonumber(latest) < tonumber(sent) then
  redis.call('SET', dispatched_key, sent, 'EX', lifetime)
end
return 1
