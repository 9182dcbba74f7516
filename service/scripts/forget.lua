-- Forget one sample, or an identity with all of them. ARGV: log length, identity, sample (or '').
local log_length, name, sample = ARGV[1], ARGV[2], ARGV[3]
if not lineage then return unknown_gallery() end

local number = redis.call('ZSCORE', below .. 'identities', name)
if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end

local record = identity_key(number)
if sample == '' then
  local samples = sample_ids(record)
  redis.call('UNLINK', record)
  redis.call('ZREM', below .. 'identities', name)
  redis.call('HINCRBY', root, 'identities', -1)
  count_samples(-#samples)
  local change = append(log_length, 'forget-identity', number, samples)
  erased()
  return change
end

local kept = redis.call('HGET', record, sample)
if not kept then return refused('UNKNOWNSAMPLE', 'the identity has no such sample') end

redis.call('HDEL', record, sample, string.match(kept, '^%x+'))
count_samples(-1)
local change = append(log_length, 'forget-sample', number, {sample})
erased()
return change
