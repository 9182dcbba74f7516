-- Let one identity be another: all its samples are that one's. ARGV: log length, edits that can be
--       undone, hashed idempotency key (or ''), payload, who is merged, into whom.
-- Returns {replayed, answer as JSON}.
local log_length, most, key, payload, name, into = unpack(ARGV)
if not lineage then return unknown_gallery() end
local before = replayed(key, payload)
if before then return before end
if shadow then return busy() end

local from, to = number_of(name), number_of(into)
if from and from == to then return edit_conflict('expected two identities') end
if not from then return refused('UNKNOWNIDENTITY', 'from: there is no such identity') end
if not to then return refused('UNKNOWNIDENTITY', 'into: there is no such identity') end

local record = identity_key(from)
local created, metadata = unpack(redis.call('HMGET', record, 'created', 'metadata'))
local edit = next_edit('merge', 'identity', to, 'other', from, 'name', name, 'created', created)
if metadata then redis.call('HSET', edit, 'metadata', metadata) end
local ids = sample_ids(record)
move_samples(from, to, ids, edit)
redis.call('HSET', edit, 'rejected', table.concat(move_rejections(from, to), ' '))
redis.call('UNLINK', record)
redis.call('ZREM', below .. 'identities', name)
redis.call('HINCRBY', root, 'identities', -1)
local change = append(log_length, 'merge', to .. ' ' .. from, ids)
keep_edit(most)
return answered(key, payload, change)
