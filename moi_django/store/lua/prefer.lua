-- Let a waiting attempt be the next of its queue, as far as limits allow.
-- ARGS: member prefix lifetime
-- USES: lifetimes queue
--
-- Returns 1, or 0 when it does not wait.

local queue, owner, limit = lane_of(member)
local lane = queue and lane_key(queue, owner, limit)
if not lane or not redis.call('ZSCORE', lane, member) then return 0 end
local place = redis.call('INCR', prefix .. 'sequence')
-- Above all priorities; whoever is preferred later is the first.
redis.call('ZADD', lane, exact(-100 * LEVEL - place), member)
place_lane(queue, owner, limit)
return 1
