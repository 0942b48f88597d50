-- How an attempt comes into a queue. Its place is the next number: no clock decides it.

local function enqueue(member)
  redis.call('ZADD', waiting_key, redis.call('INCR', sequence_key), member)
  redis.call('EXPIRE', waiting_key, lifetime)
  redis.call('EXPIRE', sequence_key, lifetime)
end

-- Wake a worker that lingers at the queue; tell whether there was one.
local function wake_one()
  local worker = redis.call('SPOP', lingering_key)
  if not worker then return false end
  redis.call('RPUSH', wake_key .. worker, '')
  redis.call('EXPIRE', wake_key .. worker, WAKE_EXPIRY)
  return true
end
