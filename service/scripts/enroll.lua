-- Keep samples under one identity.
-- ARGV: log length, model digest, bytes of one embedding, identity, metadata (JSON, or '' to
--       keep), hashed idempotency key (or ''), payload; fingerprint and embedding of each sample.
-- Returns {replayed, answer as JSON}.
local log_length, digest, width = ARGV[1], ARGV[2], tonumber(ARGV[3])
local name, metadata, key, payload = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if not lineage then return unknown_gallery() end

-- One hash a day, gone after the next: a key is remembered for at least 24 hours, and all keys of
-- a gallery can be named when it is deleted.
local created = now()
local today = math.floor(created / DAY)
if key ~= '' then
  for day = today, today - 1, -1 do
    local answer = redis.call('HGET', below .. 'replies:' .. day, key)
    if answer then
      if cjson.decode(answer).payload ~= payload then
        return refused('IDEMPOTENCYKEYREUSED', 'this key was used before for another payload')
      end
      count_samples(0)
      return {1, answer}
    end
  end
end

local refusal = mismatch(digest, width)
if refusal then return refusal end

redis.call('HSETNX', root, 'width', width)

local changed = false
local number = redis.call('ZSCORE', below .. 'identities', name)
if not number then
  number = redis.call('HINCRBY', root, 'last_identity', 1)
  redis.call('HINCRBY', root, 'identities', 1)
  redis.call('ZADD', below .. 'identities', number, name)
  redis.call('HSET', identity_key(number), 'name', name, 'created', created)
  changed = true
end
local record = identity_key(number)
local described = redis.call('HGET', record, 'metadata')
local replaced = metadata ~= '' and described and described ~= metadata
if metadata ~= '' and described ~= metadata then
  redis.call('HSET', record, 'metadata', metadata)
  changed = true
end

local samples, added = {}, {}
for i = 8, #ARGV, 2 do
  local fingerprint, embedding = ARGV[i], ARGV[i + 1]
  local id = redis.call('HGET', record, fingerprint)
  if id then
    samples[#samples + 1] = {id, 'duplicate'}
  else
    id = tostring(redis.call('HINCRBY', root, 'last_sample', 1))
    redis.call('HSET', record, fingerprint, id,
      id, fingerprint .. ' ' .. created .. ' ' .. embedding)
    samples[#samples + 1] = {id, 'added'}
    added[#added + 1] = id
  end
end
count_samples(#added)

local change = cjson.null
if changed or #added > 0 then change = append(log_length, 'enroll', number, added) end
if replaced then erased() end
local answer = cjson.encode({
  payload = payload,
  version = redis.call('HGET', root, 'version'),
  identity = tostring(number),
  samples = samples,
  change = change,
})
if key ~= '' then
  redis.call('HSET', below .. 'replies:' .. today, key, answer)
  redis.call('PEXPIREAT', below .. 'replies:' .. today, (today + 2) * DAY)
end
return {0, answer}
