-- Which ends others wait for. A job or group with children is noted when it has come to its end:
-- somebody then lets the children go on, or ends them. Scripts that use this take `prefix` and
-- `lifetime`.

local is_awaited = false

local function note_ended(id)
  if redis.call('EXISTS', prefix .. id .. ':children') == 0 then return end
  local number = redis.call('INCR', prefix .. 'sequence')
  redis.call('RPUSH', prefix .. 'ended-parents', number .. ':' .. id)
  redis.call('EXPIRE', prefix .. 'ended-parents', lifetime)
  is_awaited = true
end

local function has_unfinished(totals_key)
  for _, count in ipairs(redis.call('HMGET', totals_key, QUEUED, RUNNING)) do
    if (tonumber(count or '0') or 0) > 0 then return true end
  end
  return false
end

local function is_unfinished(id)
  for _, state in ipairs({QUEUED, RUNNING}) do
    if redis.call('ZSCORE', prefix .. 'jobs:' .. state, id) then return true end
  end
  return has_unfinished(prefix .. id .. ':totals')
end

-- Note the groups among these in which all has ended; `keys` as the ancestors of create.lua.
local function note_ended_groups(keys)
  for i = 1, #keys, 4 do
    if not has_unfinished(keys[i + 2]) then note_ended(string.sub(keys[i], #prefix + 1)) end
  end
end

-- Let a job wait for others, which may have ended.
local function block(id, member, parents, created)
  redis.call('ZADD', prefix .. 'blocked', created, member)
  for _, parent in ipairs(parents) do
    redis.call('SADD', prefix .. id .. ':waits', parent)
    redis.call('SADD', prefix .. parent .. ':children', id)
    redis.call('EXPIRE', prefix .. parent .. ':children', lifetime)
    if not is_unfinished(parent) then note_ended(parent) end
  end
  redis.call('EXPIRE', prefix .. id .. ':waits', lifetime)
  redis.call('EXPIRE', prefix .. 'blocked', lifetime)
end
