-- Keep samples under one identity.
-- ARGV: log length, model digest, digest of a second model (or ''), identity, metadata (JSON, or ''
--       to keep), hashed idempotency key (or ''), payload, bytes of originals that a gallery may
--       keep; of each sample fingerprint, embedding, the second model's (or ''), original (or '').
-- Returns {replayed, answer as JSON}.
local log_length, digest, other, name, metadata, key, payload, room = unpack(ARGV, 1, 8)
local FIRST, WORDS = 9, 4
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

-- The gallery's comparator may have been changed since the samples were embedded by both.
local held, shadows = unpack(redis.call('HMGET', root, 'digest', 'shadow_digest'))
local mine, beside = 1, 2
if other ~= '' and held == other then
  digest, other, mine, beside = other, digest, 2, 1
end
local width = #ARGV[FIRST + mine]
local refusal = mismatch(digest, width)
if refusal then return refusal end
for i = FIRST, #ARGV, WORDS do
  if #ARGV[i + mine] ~= width then
    return refused('MODELMISMATCH', 'the gallery has got another comparator')
  end
end

local number = redis.call('ZSCORE', below .. 'identities', name)
local record = number and identity_key(number)

local function is_wanted(fingerprint)  -- whether its original is not there yet
  local id = record and redis.call('HGET', record, fingerprint)
  return not id or redis.call('HEXISTS', originals_key(number), id) == 0
end

local more = 0
for i = FIRST, #ARGV, WORDS do
  if ARGV[i + 3] ~= '' and is_wanted(ARGV[i]) then more = more + #ARGV[i + 3] end
end
local kept_bytes = tonumber(redis.call('HGET', root, 'kept_bytes') or 0)
if originals and more > 0 and kept_bytes + more > tonumber(room) then
  return refused('ORIGINALSFULL', 'expected at most ' .. room .. ' bytes of kept samples, got '
    .. more .. ' more than ' .. kept_bytes)
end

redis.call('HSETNX', root, 'width', width)

local changed = false
if not number then
  number = redis.call('HINCRBY', root, 'last_identity', 1)
  record = identity_key(number)
  redis.call('HINCRBY', root, 'identities', 1)
  redis.call('ZADD', below .. 'identities', number, name)
  redis.call('HSET', record, 'name', name, 'created', created)
  changed = true
end
local described = redis.call('HGET', record, 'metadata')
local replaced = metadata ~= '' and described and described ~= metadata
if metadata ~= '' and described ~= metadata then
  redis.call('HSET', record, 'metadata', metadata)
  changed = true
end
if shadow then copy_head(number) end

local samples, added = {}, {}
for i = FIRST, #ARGV, WORDS do
  local fingerprint, embedding, copy, original = ARGV[i], ARGV[i + mine], ARGV[i + beside],
    ARGV[i + 3]
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
  if originals and original ~= '' and redis.call('HSETNX', originals_key(number), id, original) == 1
  then
    redis.call('ZADD', under(originals) .. 'identities', number, number)
    redis.call('HINCRBY', root, 'kept_bytes', #original)
    changed = true
  end
  if shadow and copy ~= '' and shadows == other then copy_sample(number, id, copy) end
end
count_samples(#added)
settle(number)

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
