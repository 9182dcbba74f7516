-- What every script stands on: the gallery's root record, the keys below it, its change log.
--
-- KEYS[1]  kindred:{<gallery>}:gallery, a hash: lineage, settings, digest, created, version,
--          hash (of the last change), identities, samples, last_identity, last_sample,
--          width (bytes of one embedding), erased (version of the last change that took something
--          away) and rewritten (… that is out of the append-only file)
--
-- and below kindred:{<gallery>}:<lineage>:, so that a gallery made again meets nothing old:
--   identities        sorted set: name, scored by its number
--   identity:<n>      hash: name, created, metadata, <fingerprint> -> sample id,
--                     <sample id> -> "<fingerprint> <created> <embedding>"
--   cohort            hash: identities, embeddings, calibration
--   log               stream: one entry a change, with the id <version>-0
--   replies:<day>     hash: idempotency key -> the answer that was given
--   staged            hash: identities, samples; only while a gallery is being imported
--
-- Beside them kindred:{<gallery>}:doomed is a set of deleted lineages that are not yet purged, and,
-- in other slots of a cluster and in no script, kindred:galleries one of <gallery>:<lineage>, and
-- kindred:{erasure}:owed counts removed lineages that the append-only file may still hold.

local DAY = 86400000  -- ms

local root = KEYS[1]
local lineage = redis.call('HGET', root, 'lineage')
local below = string.sub(root, 1, -8) .. (lineage or '') .. ':'

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

local function identity_key(number)
  return below .. 'identity:' .. number
end

-- Remember that the change before took something away.
local function erased()
  redis.call('HSET', root, 'erased', redis.call('HGET', root, 'version'))
end

-- The hash covers the entry before, so that a follower notices a log that is not the one it knew.
local function append(log_length, operation, identity, samples)
  local version = redis.call('HINCRBY', root, 'version', 1)
  local digest = redis.call('HGET', root, 'digest')
  local previous = redis.call('HGET', root, 'hash')
  local ids = table.concat(samples, ' ')
  local sealed = {previous, version, operation, identity, ids, digest}
  local hash = redis.sha1hex(table.concat(sealed, '|'))
  redis.call('XADD', below .. 'log', 'MAXLEN', '~', log_length, version .. '-0',
    'operation', operation, 'identity', identity, 'samples', ids, 'digest', digest,
    'previous', previous, 'hash', hash)
  redis.call('HSET', root, 'hash', hash)
  return {tostring(version), operation, tostring(identity), ids, digest, previous, hash}
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
