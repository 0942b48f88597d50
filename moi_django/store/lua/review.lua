-- Let lanes that are held stand in their turns again where limits have changed, and no slot be taken
-- by what does not run; halve now and then what all have used; renew all of a queue, if `renews` is
-- not empty.
-- ARGS: queue renews prefix lifetime
-- USES: lifetimes queue

local function drop_stale(slot)
  for _, member in ipairs(redis.call('SMEMBERS', prefix .. 'slots:' .. slot)) do
    if not redis.call('ZSCORE', prefix .. 'running', member) then
      redis.call('SREM', prefix .. 'slots:' .. slot, member)
    end
  end
end

-- Note something in what all have used; tell what was there, should that have been another.
local function noted_before(queue, field, value)
  local before = redis.call('HGET', used_key(queue), field)
  if before == value then return nil end
  redis.call('HSET', used_key(queue), field, value)
  return before or ''
end

-- Halve what all have used, so that none waits for what was long ago.
local function halve_used(queue)
  local all, least = redis.call('HGETALL', used_key(queue)), math.huge
  for i = 1, #all, 2 do
    if all[i] ~= 'epoch' and all[i] ~= 'order' then
      least = math.min(least, tonumber(all[i + 1]) or 0)
    end
  end
  for i = 1, #all, 2 do
    local used = tonumber(all[i + 1]) or 0
    if all[i] ~= 'epoch' and all[i] ~= 'order' then
      redis.call('HSET', used_key(queue), all[i], exact((used - least) / 2))
    end
  end
end

-- Give each lane of a context its turn by what holds now.
local function place_all(queue)
  for _, other in ipairs(redis.call('SMEMBERS', prefix .. 'queues')) do
    if context_of(other) == context_of(queue) then
      for _, limit in ipairs(limits_of(other)) do
        for _, owner in ipairs(redis.call('ZRANGE', turns_key(other, limit), 0, -1)) do
          place_lane(other, owner, limit)
        end
      end
    end
  end
end

local epoch = exact(math.floor(redis.call('TIME')[1] / USED_HALF_LIFE))
local last_epoch = noted_before(queue, 'epoch', epoch)
if last_epoch and last_epoch ~= '' then halve_used(queue) end
if noted_before(queue, 'order', policy('fair') or '') or last_epoch then place_all(queue) end
local held = redis.call('SMEMBERS', prefix .. 'held:' .. queue)
for _, lane in ipairs(held) do
  local owner, limit = string.match(lane, '^([^:]*):(.*)$')
  if owner then
    drop_stale(owner_slot(queue, owner))
    place_lane(queue, owner, limit)
  end
end
for _, limit in ipairs(limits_of(queue)) do
  if room('limit:' .. limit) <= 0 then drop_stale('limit:' .. limit) end
  if renews ~= '' then
    renewed(turns_key(queue, limit))
    for _, owner in ipairs(redis.call('ZRANGE', turns_key(queue, limit), 0, -1)) do
      renewed(lane_key(queue, owner, limit))
    end
  end
end
if renews ~= '' then
  for _, lane in ipairs(held) do renewed(prefix .. 'lane:' .. queue .. ':' .. lane) end
  for _, name in ipairs({'waiting', 'limits', 'held'}) do renewed(prefix .. name .. ':' .. queue) end
  for _, name in ipairs({'lanes', 'policy', 'sequence', 'queues', 'blocked', 'delayed', 'running'}) do
    renewed(prefix .. name)
  end
  renewed(used_key(queue))
end
