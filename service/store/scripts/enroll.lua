-- Keep samples under identities: of each enrollment all, or none.
-- ARGV: log length, model digest, digest of a second model (or ''), bytes of originals that a gallery
--       may keep; as JSON the columns of the enrollments: identities, metadata (JSON, or '' to keep),
--       hashed idempotency keys (or ''), payloads, counts of samples; the samples' fingerprints, and
--       their embeddings, one after the other; and of each sample of which there is more its place,
--       the second model's embedding (or ''), its original (or '').
-- Returns as JSON columns of the same length: versions, numbers of identities, hashes of changes (''
-- where nothing was new); of the samples ids and whether each was added (1, or 0); by place
-- enrollments that were refused, and why, and those answered before, and how; with which model,
-- when and after which hash the changes were entered in the log.
local log_length, digest, other, room, about, fingerprints, rows = unpack(ARGV, 1, 7)
local MORE, PRINT, MOST_FIELDS = 8, 64, 1000
if not lineage then return unknown_gallery() end

local asked = cjson.decode(about)
local held, shadows, width, version, hash, last_identity, last_sample, kept_bytes = unpack(
  redis.call('HMGET', root, 'digest', 'shadow_digest', 'width', 'version', 'hash', 'last_identity',
    'last_sample', 'kept_bytes'))
kept_bytes = tonumber(kept_bytes or 0)
last_identity, last_sample = tonumber(last_identity), tonumber(last_sample)
local head = {version = tonumber(version), hash = hash}

local sizes, copies, sent = #rows / (#fingerprints / PRINT), {}, {}
for i = MORE, #ARGV, 3 do
  copies[tonumber(ARGV[i])], sent[tonumber(ARGV[i])] = ARGV[i + 1], ARGV[i + 2]
end

local function slice(i)
  return string.sub(rows, (i - 1) * sizes + 1, i * sizes)
end

local function copy(i)
  return copies[i] or ''
end

-- The gallery's comparator may have been changed since the samples were embedded by both.
local mine, beside = slice, copy
if other ~= '' and held == other then
  digest, other, mine, beside = other, digest, copy, slice
end
local of_another = held ~= digest
  and 'MODELMISMATCH the gallery is of model ' .. held .. ', got ' .. digest

-- One hash a day, gone after the next: a key is remembered for at least 24 hours, and all keys of
-- a gallery can be named when it is deleted.
local created = now()
local today = math.floor(created / DAY)
local new_identities, new_samples, erased_at = 0, 0, nil
local told = {versions = {}, numbers = {}, hashes = {}, ids = {}, added = {}, refused = {},
  replayed = {}, digest = digest, before = hash}

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

local function print_of(i)
  return string.sub(fingerprints, (i - 1) * PRINT + 1, i * PRINT)
end

-- Nil, or why samples cannot be kept, of which `number`, if any, is the identity.
local function why_not(number, first, last)
  if of_another then return of_another end
  local more, expected = 0, tonumber(width)
  for i = first, last do
    local bytes = mine == slice and sizes or #copy(i)
    expected = expected or bytes
    if bytes ~= expected or bytes == 0 then
      return 'MODELMISMATCH the gallery holds ' .. expected / 4 .. '-d embeddings, got '
        .. bytes / 4 .. '-d'
    end
    local original = sent[i]
    if original and original ~= '' and originals then  -- is it wanted: is it not there yet?
      local id = number and redis.call('HGET', identity_key(number), print_of(i))
      if not id or redis.call('HEXISTS', originals_key(number), id) == 0 then
        more = more + #original
      end
    end
  end
  if more > 0 and kept_bytes + more > tonumber(room) then
    return 'ORIGINALSFULL expected at most ' .. room .. ' bytes of kept samples, got '
      .. more .. ' more than ' .. kept_bytes
  end
  width = expected
end

-- Keep what a client sent of a sample; whether there was nothing yet.
local function keep_original(number, id, original)
  if redis.call('HSETNX', originals_key(number), id, original) == 0 then return false end
  redis.call('ZADD', under(originals) .. 'identities', number, number)
  kept_bytes = kept_bytes + #original
  return true
end

-- Keep one enrollment's samples; return {identity's number, change or nil}.
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

  local added, here = {}, {}
  for i = first, last do
    local fingerprint = print_of(i)
    local id = here[fingerprint] or (not fresh and redis.call('HGET', record, fingerprint))
    if id then
      told.added[i] = 0
    else
      last_sample = last_sample + 1
      id = tostring(last_sample)
      local n = #fields
      fields[n + 1], fields[n + 2], fields[n + 3] = fingerprint, id, id
      fields[n + 4] = fingerprint .. ' ' .. created .. ' ' .. mine(i)
      here[fingerprint] = id
      added[#added + 1] = id
      told.added[i] = 1
      if shadow or n > MOST_FIELDS then write() end
    end
    told.ids[i] = tonumber(id)
    local original = sent[i]
    if original and original ~= '' and originals and keep_original(number, id, original) then
      changed = true
    end
    if shadow and shadows == other and beside(i) ~= '' then copy_sample(number, id, beside(i)) end
  end
  write()
  new_samples = new_samples + #added
  settle(number)
  local change
  if changed or #added > 0 then
    change = log_behind(head, digest, log_length, 'enroll', number, added)
  end
  if erases then erased_at = head.version end
  return number, change
end

-- What is kept of an answer to whom asks again with the same key.
local function answer(payload, number, change, first, last)
  local samples = {}
  for i = first, last do
    samples[#samples + 1] = {tostring(told.ids[i]), told.added[i] == 1 and 'added' or 'duplicate'}
  end
  return cjson.encode({payload = payload, version = tostring(head.version),
    identity = tostring(number), samples = samples, change = change or cjson.null})
end

-- Do one enrollment, or tell why not: of which nothing is known in the columns.
local function enroll(k, first, last)
  local name, key = asked.identities[k], asked.keys[k]
  told.versions[k], told.numbers[k], told.hashes[k] = 0, 0, ''
  for i = first, last do told.ids[i], told.added[i] = 0, 0 end
  local before = key ~= '' and answered_before(key)
  if before then
    before = cjson.decode(before)
    if before.payload == asked.payloads[k] then
      told.replayed[tostring(k)] = before
    else
      told.refused[tostring(k)] = 'IDEMPOTENCYKEYREUSED this key was used before for another payload'
    end
    return
  end
  local number = redis.call('ZSCORE', below .. 'identities', name)
  local why = why_not(number, first, last)
  if why then
    told.refused[tostring(k)] = why
    return
  end
  local change
  number, change = keep(name, asked.metadata[k], number, first, last)
  told.versions[k], told.numbers[k] = head.version, tonumber(number)
  if change then told.hashes[k] = head.hash end
  if key ~= '' then keep_answer(key, answer(asked.payloads[k], number, change, first, last)) end
end

local last = 0
for k, count in ipairs(asked.counts) do
  enroll(k, last + 1, last + count)
  last = last + count
end

redis.call('HINCRBY', root, 'identities', new_identities)
if width then redis.call('HSETNX', root, 'width', width) end
redis.call('HSET', root, 'version', head.version, 'hash', head.hash,
  'last_identity', last_identity, 'last_sample', last_sample)
if originals then redis.call('HSET', root, 'kept_bytes', kept_bytes) end
if erased_at then redis.call('HSET', root, 'erased', erased_at) end
count_samples(new_samples)
told.at = head.at or ''
return cjson.encode(told)
