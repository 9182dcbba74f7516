-- Replace an identity's metadata. ARGV: log length, identity, metadata (JSON, or '' for none).
local log_length, name, metadata = ARGV[1], ARGV[2], ARGV[3]
if not lineage then return unknown_gallery() end

local number = redis.call('ZSCORE', below .. 'identities', name)
if not number then return refused('UNKNOWNIDENTITY', 'there is no such identity') end

if metadata == '' then
  redis.call('HDEL', identity_key(number), 'metadata')
else
  redis.call('HSET', identity_key(number), 'metadata', metadata)
end
if shadow and redis.call('EXISTS', identity_key(number, shadow)) == 1 then copy_head(number) end
local change = append(log_length, 'describe', number, {})
erased()
return change
