-- What an edit leaves behind so that it can be undone, and what forgetting takes out of that.
--
-- kindred:{<gallery>}:edits           sorted set: versions of edits that can be undone
-- kindred:{<gallery>}:edit:<version>  hash: operation (rename, merge, split, patch), at, digest (of
--     the gallery's model then), identity and other (numbers: the renamed; into whom another was
--     merged, and who; of whom samples were split off, and to whom), name, to (names before and
--     after a renaming), name, created, metadata (of who was merged), made (1: the split made
--     `other`), settings and patched (JSON before and after), and of the samples that it moved
--     <sample id> -> '', or, where the other had one of the same bytes,
--     <sample id> -> "<fingerprint> <created> <embedding>" of one that was set aside; aside: 1;
--     rejected: ids of rejections that went along with who was merged
--
-- Names, metadata and embeddings lie there until the edit is undone, is one of too many, or whoever
-- it is about is forgotten. They belong to no lineage, so that forgetting always finds them.

local edits = string.sub(root, 1, -8) .. 'edits'

local rejected = below .. 'rejected'

local function edit_key(version)
  return string.sub(root, 1, -8) .. 'edit:' .. version
end

local function drop_edit(version)
  redis.call('UNLINK', edit_key(version))
  redis.call('ZREM', edits, version)
end

local function drop_edits()
  for _, version in ipairs(redis.call('ZRANGE', edits, 0, -1)) do drop_edit(version) end
end

-- The key of the edit that is about to be made.
local function next_edit(operation, ...)
  local key = edit_key(redis.call('HGET', root, 'version') + 1)
  redis.call('HSET', key, 'operation', operation, 'at', now(),
    'digest', redis.call('HGET', root, 'digest'), ...)
  return key
end

-- Let the last change be one that can be undone, as `most` of the newest can.
local function keep_edit(most)
  local version = redis.call('HGET', root, 'version')
  redis.call('ZADD', edits, version, version)
  while redis.call('ZCARD', edits) > tonumber(most) do
    drop_edit(redis.call('ZRANGE', edits, 0, 0)[1])
    erased()
  end
end

local function record_of(version)
  local words, record = redis.call('HGETALL', edit_key(version)), {}
  for i = 1, #words, 2 do record[words[i]] = words[i + 1] end
  return record
end

-- Take what is forgotten out of all edits: samples by id and by what they are made of, and, of an
-- identity, whatever tells of it, of whom it was merged from too, and what was said not to be it.
local function forget_in_edits(number, samples, fingerprints, whole)
  local gone = {}
  if whole then gone[tostring(number)] = true end
  for _, version in ipairs(redis.call('ZREVRANGE', edits, 0, -1)) do
    local key = edit_key(version)
    local operation, identity, other, aside = unpack(redis.call('HMGET', key, 'operation',
      'identity', 'other', 'aside'))
    if gone[identity] or gone[other] then
      if operation == 'merge' then gone[other] = true end
      drop_edit(version)
    else
      for _, id in ipairs(samples) do redis.call('HDEL', key, id) end
      for field, value in pairs(aside and record_of(version) or {}) do
        if is_sample(field) and fingerprints[string.match(value, '^%x+') or ''] then
          redis.call('HDEL', key, field)
        end
      end
    end
  end
  for _, of in ipairs(whole and {lineage, shadow or nil} or {}) do
    for _, field in ipairs(redis.call('HKEYS', under(of) .. 'rejected')) do
      if gone[string.match(field, '^%d+')] then redis.call('HDEL', under(of) .. 'rejected', field) end
    end
  end
end

-- Let what was said not to be one identity be said not to be another. Returns the ids.
local function move_rejections(from, to, wanted)
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', rejected)) do
    local number, id = string.match(field, '^(%d+):(%x+)$')
    if number == tostring(from) and (not wanted or wanted[id]) then
      redis.call('HSET', rejected, to .. ':' .. id, redis.call('HGET', rejected, field))
      redis.call('HDEL', rejected, field)
      ids[#ids + 1] = id
    end
  end
  return ids
end

local function fingerprint_of(record, id)
  return string.match(redis.call('HGET', record, id), '^%x+')
end

-- Give one identity what was sent of a sample of another, where it has none; or count it gone.
local function move_original(from, id, to, as)
  local sent = originals and redis.call('HGET', originals_key(from), id)
  if not sent then return end
  forget_originals(from, id)
  if redis.call('HSETNX', originals_key(to), as, sent) == 1 then
    redis.call('ZADD', under(originals) .. 'identities', to, to)
  else
    redis.call('HINCRBY', root, 'kept_bytes', 0 - #sent)
  end
end

-- Let samples of one identity be another's, and note in an edit which.
local function move_samples(from, to, ids, edit)
  local source, target = identity_key(from), identity_key(to)
  for _, id in ipairs(ids) do
    local value = redis.call('HGET', source, id)
    local fingerprint = string.match(value, '^%x+')
    local there = redis.call('HGET', target, fingerprint)
    redis.call('HDEL', source, id, fingerprint)
    move_original(from, id, to, there or id)
    if there then
      redis.call('HSET', edit, id, value, 'aside', 1)
      count_samples(-1)
    else
      redis.call('HSET', target, fingerprint, id, id, value)
      redis.call('HSET', edit, id, '')
    end
  end
end

-- Return what was answered to this key before, or nil; or that it was used for something else.
local function replayed(key, payload)
  if key == '' then return nil end
  local today = math.floor(now() / DAY)
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

-- Answer with a change, to this key again and again. The answer names nobody.
local function answered(key, payload, change, more)
  local answer = more or {}
  answer.payload, answer.change = payload, change
  answer.version = redis.call('HGET', root, 'version')
  local text = cjson.encode(answer)
  if key ~= '' then
    local today = math.floor(now() / DAY)
    redis.call('HSET', below .. 'replies:' .. today, key, text)
    redis.call('PEXPIREAT', below .. 'replies:' .. today, (today + 2) * DAY)
  end
  return {0, text}
end

local function busy()
  return refused('MIGRATIONCONFLICT',
    'the gallery has two comparators: finish or end its migration before it is edited')
end

local function edit_conflict(why)
  return refused('EDITCONFLICT', why)
end

local function number_of(name)
  return redis.call('ZSCORE', below .. 'identities', name)
end
