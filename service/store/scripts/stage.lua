-- Keep identities of a gallery that is being imported, each in place of what is staged of it.
-- KEYS[2]: lineages that are still to be purged, the staged one among them until it is finished.
-- ARGV: lineage, and of each identity its number, name ('' when it is gone), created, metadata
--       (JSON, or '' for none), how many samples, and of each id, fingerprint, created, embedding.
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return refused('IMPORTBROKEN', 'what was staged is not there any more')
end
below, originals = under(ARGV[1]), redis.sha1hex(ARGV[1])

local function staged(identities, samples)
  redis.call('HINCRBY', below .. 'staged', 'identities', identities)
  redis.call('HINCRBY', below .. 'staged', 'samples', samples)
end

local i = 2
while i <= #ARGV do
  local number, name, created, metadata, count = unpack(ARGV, i, i + 4)
  i = i + 5
  local record = identity_key(number)
  local before = redis.call('HGET', record, 'name')
  if before then
    staged(-1, -#sample_ids(record))
    if redis.call('ZSCORE', below .. 'identities', before) == number then
      redis.call('ZREM', below .. 'identities', before)
    end
    redis.call('UNLINK', record)
    redis.call('HINCRBY', below .. 'staged', 'bytes', 0 - forget_originals(number))
  end
  if name ~= '' then
    -- Who had the name until it was given away is told again, or the last step finds it out.
    redis.call('ZADD', below .. 'identities', number, name)
    redis.call('HSET', record, 'name', name, 'created', created)
    if metadata ~= '' then redis.call('HSET', record, 'metadata', metadata) end
    for _ = 1, tonumber(count) do
      local id, fingerprint, at, embedding = unpack(ARGV, i, i + 3)
      i = i + 4
      local added = redis.call('HSET', record, fingerprint, id,
        id, fingerprint .. ' ' .. at .. ' ' .. embedding)
      if added < 2 then return refused('IMPORTBROKEN', 'an identity has one sample twice') end
    end
    staged(1, tonumber(count))
  end
end
