-- Keep samples under identities: of each enrollment all, or none.
-- ARGV: log length, model digest, digest of a second model (or ''), bytes of originals that a gallery
--       may keep; of each enrollment identity, metadata (JSON, or '' to keep), hashed idempotency key
--       (or ''), payload, how many samples, and of each sample fingerprint, embedding, the second
--       model's (or ''), original (or '').
-- Returns as JSON, of each enrollment: {replayed, answer}, or why it was refused.
local log_length, digest, other, room = unpack(ARGV, 1, 4)
local FIRST, ABOUT, WORDS, MOST_FIELDS = 5, 5, 4, 1000
if not lineage then return unknown_gallery() end

local held, shadows, width, version, hash, last_identity, last_sample, kept_bytes = unpack(
  redis.call('HMGET', root, 'digest', 'shadow_digest', 'width', 'version', 'hash', 'last_identity',
    'last_sample', 'kept_bytes'))
width, kept_bytes = tonumber(width), tonumber(kept_bytes or 0)
last_identity, last_sample = tonumber(last_identity), tonumber(last_sample)
local head = {version = tonumber(version), hash = hash}

-- The gallery's comparator may have been changed since the samples were embedded by both.
local mine, beside = 1, 2
if other ~= '' and held == other then
  digest, other, mine, beside = other, digest, 2, 1
end
local of_another = held ~= digest
  and 'MODELMISMATCH the gallery is of model ' .. held .. ', got ' .. digest

-- One hash a day, gone after the next: a key is remembered for at least 24 hours, and all keys of
-- a gallery can be named when it is deleted.
local created = now()
local today = math.floor(created / DAY)
local new_identities, new_samples, erased_at = 0, 0, nil

local function answered_before(key)
  for day = today, today - 1, -1 do
    local answer = redis.call('HGET', below .. 'replies:' .. day, key)
    if answer then return answer end
  end
end

local function keep_answer(key, answer)
  redis.call('HSET', below .. 'replies:' .. today, key, answer)
  redis.call('PEXPIREAT', below .. 'replies:' .. today, (today + 2) * DAY)
end

-- Nil, or why samples cannot be kept, of which `number`, if any, is the identity.
local function why_not(number, first, last)
  if of_another then return of_another end
  local more = 0
  for i = first, last, WORDS do
    local bytes, original = #ARGV[i + mine], ARGV[i + 3]
    local expected = width or #ARGV[first + mine]
    if bytes ~= expected or bytes == 0 then
      return 'MODELMISMATCH the gallery holds ' .. expected / 4 .. '-d embeddings, got '
        .. bytes / 4 .. '-d'
    end
    if original ~= '' and originals then  -- is it wanted: is it not there yet?
      local id = number and redis.call('HGET', identity_key(number), ARGV[i])
      if not id or redis.call('HEXISTS', originals_key(number), id) == 0 then
        more = more + #original
      end
    end
  end
  if more > 0 and kept_bytes + more > tonumber(room) then
    return 'ORIGINALSFULL expected at most ' .. room .. ' bytes of kept samples, got '
      .. more .. ' more than ' .. kept_bytes
  end
end

-- Keep one enrollment's samples; return {identity's number, samples, change or nil}.
local function keep(name, metadata, number, first, last)
  local fresh, changed, erases, fields = not number, false, false, {}
  if fresh then
    last_identity, new_identities = last_identity + 1, new_identities + 1
    number = last_identity
    redis.call('ZADD', below .. 'identities', number, name)
    fields = {'name', name, 'created', created}
    changed = true
  end
  local record = identity_key(number)
  if metadata ~= '' then
    local described = not fresh and redis.call('HGET', record, 'metadata')
    if described ~= metadata then
      fields[#fields + 1] = 'metadata'
      fields[#fields + 1] = metadata
      erases = described
      changed = true
    end
  end
  local function write()
    if #fields > 0 then redis.call('HSET', record, unpack(fields)) end
    fields = {}
  end
  if shadow then
    write()
    copy_head(number)
  end

  local samples, added, here = {}, {}, {}
  for i = first, last, WORDS do
    local fingerprint, embedding, copy, original = ARGV[i], ARGV[i + mine], ARGV[i + beside],
      ARGV[i + 3]
    local id = here[fingerprint] or (not fresh and redis.call('HGET', record, fingerprint))
    if id then
      samples[#samples + 1] = {id, 'duplicate'}
    else
      last_sample = last_sample + 1
      id = tostring(last_sample)
      for _, word in ipairs({fingerprint, id, id, fingerprint .. ' ' .. created .. ' ' .. embedding})
      do
        fields[#fields + 1] = word
      end
      here[fingerprint] = id
      samples[#samples + 1] = {id, 'added'}
      added[#added + 1] = id
      if shadow or #fields > MOST_FIELDS then write() end
    end
    if originals and original ~= '' and redis.call('HSETNX', originals_key(number), id, original) == 1
    then
      redis.call('ZADD', under(originals) .. 'identities', number, number)
      kept_bytes = kept_bytes + #original
      changed = true
    end
    if shadow and copy ~= '' and shadows == other then copy_sample(number, id, copy) end
  end
  write()
  new_samples = new_samples + #added
  settle(number)
  local change
  if changed or #added > 0 then
    change = log_behind(head, digest, log_length, 'enroll', number, added)
  end
  if erases then erased_at = head.version end
  return number, samples, change
end

-- Return one enrollment's result as JSON, and where the next one begins.
local function enroll(at)
  local name, metadata, key, payload, count = unpack(ARGV, at, at + ABOUT - 1)
  local first = at + ABOUT
  local next_one = first + WORDS * count
  local before = key ~= '' and answered_before(key)
  if before then
    if cjson.decode(before).payload ~= payload then
      return '"IDEMPOTENCYKEYREUSED this key was used before for another payload"', next_one
    end
    return '[1,' .. before .. ']', next_one
  end
  local number = redis.call('ZSCORE', below .. 'identities', name)
  local why = why_not(number, first, next_one - 1)
  if why then return cjson.encode(why), next_one end
  width = #ARGV[first + mine]
  local change, samples
  number, samples, change = keep(name, metadata, number, first, next_one - 1)
  local answer = cjson.encode({
    payload = key ~= '' and payload or nil,
    version = tostring(head.version),
    identity = tostring(number),
    samples = samples,
    change = change or cjson.null,
  })
  if key ~= '' then keep_answer(key, answer) end
  return '[0,' .. answer .. ']', next_one
end

local results, at = {}, FIRST
while at <= #ARGV do
  results[#results + 1], at = enroll(at)
end

redis.call('HINCRBY', root, 'identities', new_identities)
if width then redis.call('HSETNX', root, 'width', width) end
redis.call('HSET', root, 'version', head.version, 'hash', head.hash,
  'last_identity', last_identity, 'last_sample', last_sample)
if originals then redis.call('HSET', root, 'kept_bytes', kept_bytes) end
if erased_at then redis.call('HSET', root, 'erased', erased_at) end
count_samples(new_samples)
return '[' .. table.concat(results, ',') .. ']'
