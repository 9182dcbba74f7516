-- Forget one sample, or an identity with all of them. ARGV: log length, identity, sample (or '').
local log_length, name, sample = ARGV[1], ARGV[2], ARGV[3]
if not lineage then return unknown_gallery() end

local number = redis.call('ZSCORE', below .. 'identities', name)
if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end

local record = identity_key(number)
local beside = shadow and identity_key(number, shadow)

local function count_forgotten(bytes)
  redis.call('HINCRBY', root, 'kept_bytes', 0 - bytes)  -- not -bytes: no server counts by "-0"
end

if sample == '' then
  local samples, fingerprints = sample_ids(record), {}
  for _, id in ipairs(samples) do fingerprints[fingerprint_of(record, id)] = true end
  forget_in_edits(number, samples, fingerprints, true)
  if originals then count_forgotten(forget_originals(number)) end
  if shadow then
    redis.call('HINCRBY', root, 'shadow_samples', 0 - #sample_ids(beside))
    redis.call('UNLINK', beside)
    redis.call('ZREM', under(shadow) .. 'identities', name)
  end
  redis.call('UNLINK', record)
  redis.call('ZREM', below .. 'identities', name)
  redis.call('HINCRBY', root, 'identities', -1)
  count_samples(0 - #samples)
  settle(number)
  local change = append(log_length, 'forget-identity', number, samples)
  erased()
  return change
end

-- While there are two comparators, each may have a sample that the other could not embed.
local kept = redis.call('HGET', record, sample)
local copied = beside and redis.call('HGET', beside, sample)
if not kept and not copied then
  return refused('UNKNOWNSAMPLE', 'the identity has no such sample')
end

local fingerprint = string.match(kept or copied, '^%x+')
forget_in_edits(number, {sample}, {[fingerprint] = true})
redis.call('HDEL', record, sample, fingerprint)
if copied then
  redis.call('HDEL', beside, sample, fingerprint)
  redis.call('HINCRBY', root, 'shadow_samples', -1)
end
if originals then count_forgotten(forget_originals(number, sample)) end
count_samples(kept and -1 or 0)
settle(number)
local change = append(log_length, 'forget-sample', number, {sample})
erased()
return change
