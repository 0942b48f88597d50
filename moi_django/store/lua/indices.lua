-- What has to do with time: the indices of the jobs of all users and of one owner, the counts of what
-- has ended, and what is delayed. The index of a state has the name of that of all, and the state
-- behind it.

local function server_time()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end

-- Let an attempt come into its queue only in some seconds.
local function delay_attempt(member, seconds, prefix, lifetime)
  redis.call('ZADD', prefix .. 'delayed', server_time() + seconds, member)
  redis.call('EXPIRE', prefix .. 'delayed', lifetime)
end

local function move_in_indices(jobs_key, id, created, old_state, new_state, lifetime)
  if old_state ~= new_state then redis.call('ZREM', jobs_key .. ':' .. old_state, id) end
  redis.call('ZADD', jobs_key .. ':' .. new_state, created, id)
  redis.call('EXPIRE', jobs_key .. ':' .. new_state, lifetime)
end

local function add_to_indices(jobs_key, owner_jobs_key, id, created, old_state, new_state, lifetime)
  move_in_indices(jobs_key, id, created, old_state, new_state, lifetime)
  for _, index in ipairs({jobs_key, owner_jobs_key}) do
    redis.call('ZADD', index, created, id)
    redis.call('EXPIRE', index, lifetime)
  end
end

local function remove_from_indices(jobs_key, owner_jobs_key, id, states)
  redis.call('ZREM', jobs_key, id)
  redis.call('ZREM', owner_jobs_key, id)
  for state in string.gmatch(states, '%a+') do redis.call('ZREM', jobs_key .. ':' .. state, id) end
end

-- The id of the unfinished job that has a unique key; nil when there is none.
local function unfinished_of(unique_key, jobs_key, prefix)
  local id = redis.call('GET', unique_key)
  if not id or redis.call('EXISTS', prefix .. id) == 0 then return nil end
  for state in string.gmatch(UNFINISHED, '%a+') do
    if redis.call('ZSCORE', jobs_key .. ':' .. state, id) then return id end
  end
end

-- Jobs that have expired go from the indices a few at a time.
local function drop_expired(jobs_key, owner_jobs_key, prefix)
  for _, index in ipairs({jobs_key, owner_jobs_key}) do
    for _, id in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
      if redis.call('EXISTS', prefix .. id) == 0 then
        remove_from_indices(jobs_key, owner_jobs_key, id, STATES)
      end
    end
  end
end

-- Add to a number in a hash, which begins anew where another program has put what is none.
local function count_in(key, field, number, command)
  local answer = redis.pcall(command or 'HINCRBY', key, field, number)
  if type(answer) == 'table' and answer.err then
    redis.call('HSET', key, field, math.max(0, number))
  end
end

local function count_ended(ended_key, state, ran, waited)
  local minute = ended_key .. ':' .. math.floor(redis.call('TIME')[1] / 60)
  count_in(minute, state .. ':jobs', 1)
  count_in(minute, state .. ':ran', ran, 'HINCRBYFLOAT')
  count_in(minute, state .. ':waited', waited, 'HINCRBYFLOAT')
  redis.call('EXPIRE', minute, STATISTICS_LIFETIME)
end

-- Count what an attempt that is over has used, for who looks at the last hours: nothing if it has
-- not run.
local function count_usage(prefix, owner, seconds)
  if not owner or seconds <= 0 then return end
  local hour = prefix .. 'usage:' .. math.floor(redis.call('TIME')[1] / 3600)
  count_in(hour, owner, string.format('%.0f', seconds * 1000))
  redis.call('EXPIRE', hour, STATISTICS_LIFETIME)
end
