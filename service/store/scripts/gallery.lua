-- What every script stands on: the gallery's root record, the keys below it, its change log.
--
-- KEYS[1]  kindred:{<gallery>}:gallery, a hash: lineage, settings, digest, created, version,
--          hash (of the last change), identities, samples, last_identity, last_sample,
--          width (bytes of one embedding), erased (version of the last change that took something
--          away) and rewritten (… that is out of the append-only file); where originals are kept,
--          originals (the name under which they lie: SHA-1 of the first lineage) and kept_bytes;
--          and while it has two comparators, shadow (the lineage of the one not in force) with
--          shadow_settings, shadow_digest, shadow_width and shadow_samples
--
-- and below kindred:{<gallery>}:<lineage>:, so that a gallery made again meets nothing old:
--   identities        sorted set: name, scored by its number
--   identity:<n>      hash: name, created, metadata, <fingerprint> -> sample id,
--                     <sample id> -> "<fingerprint> <created> <embedding>"
--   cohort            hash: identities, embeddings, calibration, at (ms)
--   rejected          hash: "<n>:<id>" -> "<created> <embedding>" of probes that were not identity n
--   log               stream: one entry a change, with the id <version>-0
--   replies:<day>     hash: idempotency key -> the answer that was given
--   staged            hash: identities, samples, bytes of originals; only while a gallery is being imported
--   pending           sorted set: numbers of identities of which an embedding is still to be made
--                     here, for the lineage in force has it; only of a shadow
--   left              sorted set: … of which one cannot be made, because there is no original, or
--   failed            set: sample ids whose original this lineage's comparator cannot embed
--
-- Below kindred:{<gallery>}:<originals>: lie what clients sent of the samples, if they are kept,
-- where no start reads them and no change of comparator touches them:
--   identities        sorted set: numbers of identities with originals, scored by themselves
--   originals:<n>     hash: sample id -> "<modality, or nothing> <bytes>"
--
-- Beside them lie the edits that can be undone (edits.lua);
-- kindred:{<gallery>}:doomed is a set of deleted lineages that are not yet purged,
-- kindred:{<gallery>}:migration a hash that tells how far the making of the shadow is (migrate.lua)
-- and kindred:{<gallery>}:migrator who works on it. In other slots of a cluster and in no script,
-- kindred:galleries is a set of <gallery>:<lineage> and of <gallery>:<originals>, and
-- kindred:{erasure}:owed counts removed lineages that the append-only file may still hold.

local DAY = 86400000  -- ms

local root = KEYS[1]
local lineage, shadow, originals = unpack(redis.call('HMGET', root, 'lineage', 'shadow',
  'originals'))

local function under(name)
  return string.sub(root, 1, -8) .. (name or '') .. ':'
end

local below = under(lineage)
local migration = string.sub(root, 1, -8) .. 'migration'

local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function refused(code, text)
  return redis.error_reply(code .. ' ' .. text)
end

local function unknown_gallery()
  return refused('UNKNOWNGALLERY', 'there is no such gallery')
end

local function identity_key(number, of)
  return (of and under(of) or below) .. 'identity:' .. number
end

local function originals_key(number)
  return under(originals) .. 'originals:' .. number
end

-- Remember that the change before took something away.
local function erased()
  redis.call('HSET', root, 'erased', redis.call('HGET', root, 'version'))
end

-- Add an entry to the log behind `head`, {version, hash}, which moves on; the root is to have these
-- when the script ends. The hash covers the entry before, so that a follower notices a log that is
-- not the one it knew; and the moment, for a store that went back may be given as many other samples
-- as it had lost. Returns the change, as words.
local function log_behind(head, digest, log_length, operation, identity, samples)
  local version, previous = head.version + 1, head.hash
  local ids = table.concat(samples, ' ')
  if not head.at then
    local clock = redis.call('TIME')
    head.at = clock[1] .. string.format('%06d', clock[2])
  end
  local at = head.at
  local sealed = {previous, version, operation, identity, ids, digest, at}
  local hash = redis.sha1hex(table.concat(sealed, '|'))
  redis.call('XADD', below .. 'log', 'MAXLEN', '~', log_length, version .. '-0',
    'operation', operation, 'identity', identity, 'samples', ids, 'digest', digest,
    'previous', previous, 'hash', hash, 'at', at)
  head.version, head.hash = version, hash
  return {tostring(version), operation, tostring(identity), ids, digest, previous, hash, at}
end

local function append(log_length, operation, identity, samples)
  local version, hash, digest = unpack(redis.call('HMGET', root, 'version', 'hash', 'digest'))
  local head = {version = tonumber(version), hash = hash}
  local change = log_behind(head, digest, log_length, operation, identity, samples)
  redis.call('HSET', root, 'version', head.version, 'hash', head.hash)
  return change
end

-- WAIT and WAITAOF vouch for what their own connection wrote. An answer that rests on an earlier
-- write (a replay, a duplicate) therefore writes too, so that the barrier covers that one as well.
local function count_samples(more)
  redis.call('HINCRBY', root, 'samples', more)
end

-- Nil, or why embeddings of this model and length do not belong into the gallery.
local function mismatch(digest, bytes)
  local held, width = unpack(redis.call('HMGET', root, 'digest', 'width'))
  if held ~= digest then
    return refused('MODELMISMATCH', 'the gallery is of model ' .. held .. ', got ' .. digest)
  end
  if width and tonumber(width) ~= bytes then
    return refused('MODELMISMATCH', 'the gallery holds ' .. width / 4 .. '-d embeddings, got '
      .. bytes / 4 .. '-d')
  end
end

-- Of an identity's fields only sample ids are short numbers; a fingerprint has 64 digits.
local function is_sample(field)
  return #field < 20 and string.find(field, '^%d+$')
end

local function sample_ids(record)
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', record)) do
    if is_sample(field) then ids[#ids + 1] = tonumber(field) end
  end
  table.sort(ids)
  return ids
end

-- Remove what clients sent of one sample of an identity, or of all. Returns how many bytes that was.
local function forget_originals(number, sample)
  local key, bytes = originals_key(number), 0
  for _, id in ipairs(sample and {sample} or redis.call('HKEYS', key)) do
    bytes = bytes + redis.call('HSTRLEN', key, id)
    redis.call('HDEL', key, id)
  end
  if redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', under(originals) .. 'identities', number)
  end
  return bytes
end

-- Let the shadow have an identity as the lineage in force has it, but for its samples.
local function copy_head(number)
  local name, created, metadata = unpack(redis.call('HMGET', identity_key(number), 'name',
    'created', 'metadata'))
  redis.call('ZADD', under(shadow) .. 'identities', number, name)
  redis.call('HSET', identity_key(number, shadow), 'name', name, 'created', created)
  if metadata then
    redis.call('HSET', identity_key(number, shadow), 'metadata', metadata)
  else
    redis.call('HDEL', identity_key(number, shadow), 'metadata')
  end
end

-- Keep the shadow's embedding of a sample, as of when the lineage in force got its own.
local function copy_sample(number, id, embedding)
  local kept = redis.call('HGET', identity_key(number), id)
  local record = identity_key(number, shadow)
  if not kept or redis.call('HEXISTS', record, id) == 1 then return end
  local head, fingerprint = string.match(kept, '^((%x+) %d+ )')
  redis.call('HSET', record, fingerprint, id, id, head .. embedding)
  redis.call('HINCRBY', root, 'shadow_samples', 1)
end

-- Note of which samples of an identity each lineage lacks an embedding that the other has.
-- Those that can still be made are only asked for in the shadow.
local function settle(number)
  if not shadow then return end
  local waiting
  for _, of in ipairs({{shadow, lineage}, {lineage, shadow}}) do
    local held, left, pending = {}, false, false
    for _, id in ipairs(sample_ids(identity_key(number, of[2]))) do held[id] = true end
    for _, id in ipairs(sample_ids(identity_key(number, of[1]))) do
      if not held[id] then
        if not originals or redis.call('HEXISTS', originals_key(number), id) == 0
          or redis.call('SISMEMBER', under(of[2]) .. 'failed', id) == 1 then
          left = true
        else
          pending = true
        end
      end
    end
    redis.call(left and 'ZADD' or 'ZREM', under(of[2]) .. 'left',
      unpack(left and {number, number} or {number}))
    waiting = pending
  end
  redis.call(waiting and 'ZADD' or 'ZREM', under(shadow) .. 'pending',
    unpack(waiting and {number, number} or {number}))
end
