BEGIN TRANSACTION;
CREATE TABLE accounts (
	account VARCHAR(128) NOT NULL, 
	admissions INTEGER NOT NULL, 
	PRIMARY KEY (account)
);
INSERT INTO "accounts" VALUES('user-1',1);
CREATE TABLE at_most (
	attempt INTEGER NOT NULL, 
	spent FLOAT NOT NULL, 
	PRIMARY KEY (attempt), 
	FOREIGN KEY(attempt) REFERENCES attempts (id)
);
CREATE TABLE attempts (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	epoch INTEGER NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	profile VARCHAR(80) NOT NULL, 
	"before" VARCHAR(64) NOT NULL, 
	account VARCHAR(128) NOT NULL, 
	session_id VARCHAR(512) NOT NULL, 
	task_id VARCHAR(512) NOT NULL, 
	run VARCHAR(128) NOT NULL, 
	free BOOLEAN NOT NULL, 
	hidden BOOLEAN NOT NULL, 
	created FLOAT NOT NULL, 
	changed FLOAT NOT NULL, 
	sent FLOAT, 
	spent FLOAT, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "attempts" VALUES(1,'upload-1',1,'done',2,'owner-1','nemo','','user-1','s-1','t-1','',1,0,1750000001.0,1750000003.0,1750000002.0,NULL,'{"media": [["pixels:ab", "ab.jpg", "image/jpeg"]], "language": "auto", "spoken": "en"}');
INSERT INTO "attempts" VALUES(2,'generate-1',1,'done',2,'owner-1','nemo','upload-1','user-1','s-1','t-1','',0,0,1750000004.0,1750000006.0,1750000005.0,80.0,'{"text": "a café", "baseline": {"segments": "x", "media": [], "draft": null, "credits": null}, "money": {"before": 300.0, "after": 220.0, "spent": 80.0, "certainty": "exact"}, "reply": "done", "draft": {"id": "d-1"}}');
INSERT INTO "attempts" VALUES(3,'export-1',1,'done',2,'owner-1','nemo','generate-1','user-1','s-1','t-1','',1,0,1750000007.0,1750000009.0,1750000008.0,NULL,'{"render_id": "render_1"}');
INSERT INTO "attempts" VALUES(4,'edit-1',1,'unknown',2,'owner-1','nemo','generate-1','user-1','s-1','t-1','r-1',0,0,1750000011.0,1750000013.0,1750000012.0,NULL,'{"error": "stream-broken"}');
INSERT INTO "attempts" VALUES(5,'edit-2',1,'planned',0,'owner-1','nemo','generate-1','user-1','s-1','t-1','',0,0,1750000014.0,1750000014.0,NULL,NULL,'{}');
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	host VARCHAR(128) NOT NULL, 
	path TEXT NOT NULL, 
	delivered FLOAT NOT NULL, 
	facts TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(attempt) REFERENCES attempts (id)
);
INSERT INTO "deliveries" VALUES(1,3,'host-1','videos/a_00001_.mp4',1750000010.0,'{"sha256": "ab", "size": 1}');
CREATE TABLE migrations (
	number INTEGER NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	applied FLOAT NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "migrations" VALUES(1,'owners, attempts, sessions, accounts, deliveries',1750000000.0);
INSERT INTO "migrations" VALUES(2,'indices for lists, upkeep',1750000000.0);
INSERT INTO "migrations" VALUES(3,'what is owed, what was taken at most',1750000000.0);
CREATE TABLE owed (
	attempt INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	account VARCHAR(128) NOT NULL, 
	PRIMARY KEY (attempt), 
	FOREIGN KEY(attempt) REFERENCES attempts (id)
);
CREATE TABLE owners (
	id VARCHAR(64) NOT NULL, 
	host VARCHAR(128) NOT NULL, 
	pid INTEGER NOT NULL, 
	lock TEXT NOT NULL, 
	lease_until FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "owners" VALUES('owner-1','host-1',4242,'owners/owner-1.lock',1750000060.0);
CREATE TABLE sessions (
	session_id VARCHAR(512) NOT NULL, 
	head VARCHAR(64) NOT NULL, 
	PRIMARY KEY (session_id)
);
INSERT INTO "sessions" VALUES('s-1','generate-1');
CREATE TABLE tidied (
	"key" VARCHAR(64) NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE INDEX attempts_account_state ON attempts (account, state);
CREATE UNIQUE INDEX attempts_key_number ON attempts ("key", number);
CREATE INDEX attempts_profile_sent ON attempts (profile, sent);
CREATE INDEX attempts_before ON attempts ("before");
CREATE INDEX attempts_changed ON attempts (changed);
CREATE INDEX deliveries_attempt ON deliveries (attempt);
CREATE INDEX attempts_created ON attempts (created);
CREATE INDEX attempts_profile_kind ON attempts (profile, substr("key", 1, 4));
CREATE INDEX attempts_charged ON attempts (profile, substr("key", 1, 4)) WHERE spent > 0;
CREATE INDEX owed_key ON owed ("key");
CREATE INDEX owed_account ON owed (account);
COMMIT;
