"""What English requests that are not for the agent are made of, as rules of `_text.grammar`.

Contractions are written out, typing errors mended and punctuation gone before these rules are asked, and every word of
a message has to be understood: the rules list what may stand, never what may not.
"""

from __future__ import annotations

from typing import Final

from .choices import FORMATS

SHORT: Final = {
    "im": "i am", "ive": "i have", "id": "i would", "ill": "i will", "lets": "let us", "whats": "what is",
    "wheres": "where is", "hows": "how is", "heres": "here is", "thats": "that is", "theres": "there is",
    "its": "it is", "youre": "you are", "weve": "we have", "wanna": "want to", "gonna": "going to",
    "gotta": "have to", "gimme": "give me", "lemme": "let me", "u": "you", "ur": "your", "pls": "please",
    "plz": "please", "plss": "please", "plse": "please", "pleas": "please", "cant": "can not", "dont": "do not",
    "doesnt": "does not", "thx": "thanks", "ty": "thanks", "tysm": "thanks", "tnx": "thanks", "cheers": "thanks",
    "r": "are", "vid": "video", "vids": "videos", "k": "ok", "okey": "ok", "okie": "ok", "kk": "ok", "n": "and",
    "cuz": "because", "cos": "because", "coz": "because", "cause": "because", "tmr": "tomorrow", "tmrw": "tomorrow",
    "insta": "instagram", "ig": "instagram", "yt": "youtube", "fb": "facebook", "rn": "right now", "mum": "mom",
    "gud": "good", "ya": "you", "til": "until", "till": "until", "bc": "because",
    "gr8": "great", "luv": "love", "pic": "picture", "pics": "pictures", "thankyou": "thank you",
    "mp4s": "mp4", "gifs": "gif", "quicktime": "mov", "finalise": "finalize", "finalised": "finalized",
}  # fmt: skip
"""Short forms, as they stand without an apostrophe, written out."""

RULES: Final = """
film_det = the | my | this | that | our | your | these | a copy of | a copy of the | all of the | all the | the whole
 | all my
stage = final | finished | complete | completed | full | whole | entire | current | latest | edited | newest
 | resulting | rendered | generated | finalized | exported | ready | actual
container = FORMATS | mp 4 | animated gif
size = anysize | 1080 | 720 | 480 | 2k | 4k | 8k | 5k | 6k | 16k | 4 k | 8 k | 2 k | full hd | fhd | uhd | ultra hd
 | 4k uhd | hd | sd | hq | full size | full res | full resolution | original size | original resolution | native
 resolution | ( the )? ( largest | biggest | highest | max | maximum ) ( possible | available )? ( size | resolution
 | res | version ) | ( largest | biggest ) | ( the )? ( smallest | lowest ) ( size | resolution | res )
level = high | highest | best | good | great | top | max | maximum | low | lower | lowest | small | smaller | medium
 | normal | standard | higher | original | decent
quality = ( very | the | a )* <level> ( possible | available )? ( quality | definition | file size | bitrate )
 | <level> ( file | <container> ) | compressed | ( <level> ) and ( <level> ) quality
fmt = ( <container> | <size> | <quality> ) ( format | file | video | version | quality | resolution | res | container
 | movie | copy | clip | possible | available | you have | there is | you can | that you have )*
thing = video | videos | clip | clips | movie | film | file | files | result | results | output | project | reel
 | footage | <container> | final cut
owned = <thing> | last version | last video | last edit | last cut | last export | last one | cut | version | edit |
 animation | work | link | download | export | render | master | thing | one | masterpiece | piece | creation | product
made = ( that )? ( i | we | you ) ( just | have )* ( made | created | generated | edited | did )
film = ( <film_det>? ( <stage> | <fmt> )* <thing>+ | <film_det> ( <stage> | <fmt> )* <owned>+ | <stage>+ <owned>+ ) (
 file | version )? <made>? | it ( all )? | this | that | them | final | <film_det> final | everything | all of it
 | all | the lot | this one | that one

place = ( to | on | onto | in | into | for ) ( my | the | our | your | this | a )? ( computer | pc | laptop | mac
 | macbook | phone | iphone | android | ipad | tablet | desktop | disk | drive | hard drive | hard disk | device
 | downloads | downloads folder | download folder | folder | documents | gallery | camera roll | photos | usb | usb
 stick | machine | files | cell phone ) | locally | offline
platform = instagram | tiktok | tik tok | youtube | shorts | youtube shorts | reels | instagram reels | facebook
 | twitter | whatsapp | wechat | douyin | xiaohongshu | social media | socials | linkedin | snapchat | telegram
 | discord | email | story | stories | website | blog | portfolio | channel | feed | slack | the web | web
people = boss | client | clients | customer | customers | team | friend | friends | mom | dad | wife | husband
 | family | teacher | professor | class | students | colleague | colleagues | manager | girlfriend | boyfriend | kids
 | son | daughter | parents | brother | sister | grandma | audience | followers | school | work | partner | investors
 | editor | everyone | someone | people | them | him | her | group | company
purpose = presentation | meeting | homework | assignment | wedding | party | event | demo | backup | records | pitch |
 exam | review | approval | use | later | keeps | safekeeping | tomorrow | a friend | a client | customer | interview |
 conference | final cut | final cut pro | premiere | premiere pro | davinci | davinci resolve | resolve | capcut |
 imovie | after effects | powerpoint
reach = ( for | to | on | with ) ( my | the | our | your | a )? ( <platform> | <people> | <purpose> )
reason_word = i | we | you | he | she | they | it | this | that | the | a | my | our | his | to | on | in | at | for
 | with | by | before | of | and | can | could | need | needs | want | wants | have | has | must | will | would | am
 | is | are | going | get | wait | waiting | urgent | urgently | soon | today | tonight | tomorrow | morning | noon
 | afternoon | evening | night | monday | tuesday | wednesday | thursday | friday | saturday | sunday | weekend | week
 | later | now | next | minute | minutes | hour | hours | an | start | starts | begins | 2 | 3 | 15 | 20 | 30 | half
 | sharp | pm | am | lost | deadline | due | post | posting | share | sharing | show | showing | send | sending
 | upload | uploading | use | using | watch | watching | keep | present | put | play | review | approve | check | see
 | everyone | people | <platform> | <people> | <purpose> | <place> | hurry | rush | late | few | 5 | 10 | somewhere
 | up | out | over | really | do | publish | email | online | file | video | link | copy | mp4 | asap | already
 | there | leave | leaving | finally | just | too
reason = ( so ( that )? ( i | we | my <people> ) | because | since | in order to | i need to | i have to | i want to |
 i must | i will | i am going to | i plan to | i need it | before i change my mind | i ( have | accidentally | already
 | just )* ( lost | deleted | closed | overwrote | missed | misplaced | can not find | did not get | did not save |
 forgot to save ) | i am in a hurry | in a hurry | need it | need to | want to | it is for | this is for | my <people>
 ( is | are | needs | wants ) | the <people> ( is | are | needs | wants ) | ( the | my | our ) <purpose> ( is | starts
 | begins ) | the deadline is | deadline is | to ( post | share | show | send | upload | use | watch | keep | present |
 publish ) | ( by | before ) ( the | my | our | we | i | tomorrow | tonight | today | noon | lunch | dinner | work |
 bed | midnight | monday | tuesday | wednesday | thursday | friday | saturday | sunday | 5 | 10 | end of ) | it is
 urgent | urgent | going to ( post | share | show | send | upload | use | watch ) | for ) <reason_word>*

filler = please | if you do not mind | if that is ( ok | okay | possible | alright | fine ) | when you ( get | have ) a
 ( chance | moment | minute | second | sec ) | whenever you can | go on | kindly | ok | okay | hey | hi | hello | yo |
 nemo | now | then | so | and | well | just | finally | thanks | thank you | again | already | also | too | first |
 next | alright | all right | right | sure | yes | yeah | yep | yup | ya | bro | dude | guys | quick | quickly | real
 quick | really | asap | immediately | right away | right now | today | tonight | as soon as possible | for me | for us
 | if you can | if possible | if you would | lol | haha | xd | d | um | uh | oh | wow | sorry | team | my friend |
 buddy | mate | here | once more | once again | one more time | another time | one last time | when you can | at last |
 very much | so much | a lot | a bunch | in advance | good morning | good evening | there | everyone | at once |
 straight away | alrighty | folks | fam | hmm | honestly | real fast | pretty please | with sugar on top | would be
 great | would be nice | would be lovely | my way | over here | directly | manually | actually | of course | for now |
 instead | as well | a sec | one sec | quick one | quick question | question | by the way | btw | dear | to me | back |
 thanks again | many thanks | much appreciated | appreciate it | i appreciate it | let us go | go
polite = ( can | could ) you ( please )? ( tell | show ) me how to | what is the ( easiest | quickest | simplest |
 right | fastest ) way to | is there an ( option | easy way ) to | do you know how to | ( what | which button ) do i (
 click | press | tap | hit | push | use ) to | i am good | what ( do | should | must | can ) i ( have to | need to )?
 do to | how does one | what is needed to | i am trying to | i was hoping to | can you help me ( to )? | i will | we
 can | ( can | could | would | will | may | might | shall ) ( you | i | we ) ( be able to )? | i ( just | really | only
 | now | also | still | would | think i | guess i )* ( want | need | like | love | wish | would like | have ) ( you )?
 ( to )? | let ( me | us ) | go ahead ( and )? | help me ( to )? | how ( do | can | could | would | may ) ( i | we |
 you | one ) | how to | where ( do | can | could | may ) ( i | we ) | is it possible to | is it possible for me to | is
 there a way to | is there any way to | are you able to | am i able to | you ( can | may | could ) ( now | go ahead and
 )? | ( do | would ) you mind ( if i )? | i think | i guess | i believe | would it be possible to | i do not know how
 to | tell me how to | show me how to | teach me how to | tell me where to | ( it is | i think it is )? time to | ( i
 am | we are | i think i am | i think we are | i guess we are )? ready to | feel free to | want to | try to | any
 chance you could | any chance i could | any chance to | if you could | i wonder if ( you | i ) ( could | can ) | i was
 wondering if ( you | i ) ( could | can ) | what is the way to | is it ready to | is the video ready to | is this ready
 to | would like to | i am going to | you mind | do i | what is the best way to | i would appreciate it if you could |
 be so kind and | be so kind as to | ready for the
good = good | great | perfect | nice | fine | amazing | awesome | excellent | wonderful | fantastic | brilliant | cool
 | lovely | beautiful | ok | okay | right | ready | done | finished | complete | incredible | stunning | gorgeous
 | superb | sweet | final
pleasant = ( i am | we are ) ( all | now )* done ( tweaking | changing | adjusting | working | playing | fiddling ) (
 with )? ( <film> )? | ( we are | i am )? ( all )? ( good to go | set ) here | ( ( it | this | that | everything | all
 | <film> ) ( is | looks | are | look | turned out | came out | seems | feels ) ( really | so | very | just | all |
 pretty | absolutely | now | totally | super | already )* <good> ( to go | to me | enough | now | as it is | as is |
 the way it is | like this | that way )? ) | ( looks | look | looking | turned out | came out | sounds ) ( really | so
 | very | just | pretty | super )* <good> ( to me | enough )? | ( i )? ( really | absolutely | just | do )* ( love |
 like ) ( it | this | that | <film> | how it turned out ) ( a lot | so much )? | ( <good> | well ) ( job | work | stuff
 | one | done ) | ( i am | we are ) ( very | so | really | all | now | quite )* ( happy | done | good to go | finished
 | ready | satisfied | good | pleased ) ( with ( <film> | the edits | editing | the changes | the result ) | editing |
 here | now )? | ( no | nothing ) ( more | further | other | else ) ( changes | edits | to change | to add | to do | to
 edit | is needed | needed )* | no ( changes | edits ) ( needed )? | that is a wrap | that will do | ship it | that
 works | that is ( all | it | final | everything | enough | the one | all i need | all for now ) | ( do not | no need
 to ) ( change | edit | touch | alter ) ( anything | it | a thing | more | any more | else | anything else )* | done (
 with )? editing | done with ( it | the edits | the changes | everything ) | all good | all set | all done | good to go
 | works for me | what a <good> result | ( that is | this is | it is )? ( exactly | just )* what i ( wanted | needed |
 want | need | was looking for | had in mind | was after | asked for | hoped for )
closing = ( finish | finalize | wrap | complete | lock | keep | leave ) ( it | this | that | everything | things
 | <film> )? ( up | off )? ( as it is | as is | like this | like that | that way | the way it is )? | stop here | ( i
 am | we are ) done here
condition = ( when | once | if | as soon as | after | whenever ) ( ( it | this | that | everything | all | <film>
 | you | you are | the rest ) ( is | are | looks )? ( all )? <good> ( with it )? | so | yes | ready | done | finished
 | possible )
bare_format = ( just | only ) ( the | a | an )? <fmt>* <container> ( file )?
praise = fine | great | perfect | nice | cool | good | super | awesome | fantastic | excellent | brilliant | amazing
 | wonderful | lovely | beautiful | wicked | done
junk = <praise> | <bare_format> | <filler> | <polite> | <pleasant> | <closing> | <condition>

gerund = exporting | downloading | saving | rendering
verb = export | re export | reexport | download | redownload | re download | save | render | render out | output
 | spit out | deliver | re save | re render | rerender | export and save | download and save
tail = ( ( as | in | at | to | into | with | of | using | on | like )? ( a | an | the | one | another | very )* <fmt>+ (
 format | file | quality | resolution | please )* | ( as | in ) ( a | an ) ( file | video file | movie file ) | <place>
 | <reach> | <reason> | <filler> | <condition> | or so | without ( a | the | any | your )? ( watermark | watermarks ) |
 no watermark | no watermarks | with ( the | its )? ( sound | audio ) | ( as | exactly as | just as ) it is | as is |
 like this | out | out of ( here | it | nemo | this ) | away | time | this time | ( a bit | a little | much )? smaller |
 from ( here )? | but | exactly | for real )
device = computer | pc | laptop | mac | phone | iphone | android | ipad | tablet | desktop
done_to = exported | downloaded | saved | rendered | re exported
plain_link = ( the | a | my | that )? ( download | video | file )? ( link | url )
wanted = ( a | an | the ) <fmt>+ of ( this | it | that | <film> ) | ( a copy of ( the | my | this )? | the | my | our |
 that | this | your ) ( <stage> | <fmt> )* ( <thing> | link | download | export | version )+ ( file )? <made>? | (
 <stage> | <fmt> )+ <owned>* <made>? | video | videos | ( a | an | the ) ( <fmt> )+ <owned>* | a copy | <plain_link> |
 the ( final | whole | finished ) ( thing | product | work | cut )
given = <wanted> | a copy of <film> | it | everything | them | ( this | that | it | <film> ) ( in | as | to be ) ( a |
 an )? <fmt>+
export_unit = ( the | my | our ) ( final | finished | full )+ ( render | export | download | video | clip | movie | cut
 ) please <tail>* | make <film> ( downloadable | exportable ) <tail>* | get <given> to ( me | us ) <tail>* | ( can |
 could | may | will | should | how can | how could | where can ) <film> ( now | please | finally )* be <done_to>
 <tail>* | ( is | are ) <film> ( ready | available | allowed | able )+ ( to be <done_to> | for ( export | download ) |
 to ( export | download ) ) <tail>* | ( what | which | where is the ) button ( exports | downloads | saves | to export
 | to download | for ( the )? ( export | download ) ) <film>? <tail>* | ( get | load | copy | transfer | move ) <given>
 ( on | onto | to | into | over to ) ( my | the | this )? <device> <tail>* | ( one | another | a | the )? ( last | more
 | final | quick | new | second )* ( export | download ) please <tail>* | ( how | where ) ( do | can | could | would |
 should ) i ( see | watch | view | open | find | access | collect | pick up ) <given> ( file | as a file | offline )+
 <tail>* | how ( would | do | should | does | can ) ( i | one ) go about <gerund> <film>? <tail>* | <gerund> ( <film>
 )? ( now | please )* would be ( great | nice | lovely | good ) <tail>* | is <film> ( downloadable | exportable ) | (
 dump | burn | crank | pump | churn | spit | transcode | convert ) ( it | this | that | <film> )? ( out )? ( as | to |
 in | into ) ( a | an )? <size>* <container> ( file | video | movie )? <tail>* | ( kick off | fire up | set off ) ( the
 | an | my )? ( final )? ( export | download | render ) <tail>* | ( tap | click on | press on | tap on ) ( the )? (
 export | download | save ) ( button )? <tail>* | ( send | pass | throw | push ) <given> my way <tail>* | ( i | we )? (
 just | really | only | now )* ( need | want ) ( <film> | that | this ) <done_to> <tail>* | ( one | an | a ) <size>*
 <container> ( file | version | copy )? please <tail>* | ( i | we )? would appreciate <wanted> <tail>* | ( hand | send
 | pass | bring ) over <given> <tail>* | ( prepare | get ) <film> ( ready )? ( for | to ) ( export | download |
 exporting | downloading ) <tail>* | any chance of ( a | an | the | getting ( a | an | the )? ) ( download | export |
 copy | download link | link | mp4 | file ) <tail>* | ( the | my ) ( <stage>+ <thing>+ | <stage>* ( video | movie |
 clip | film )? file ) please | make ( it | this | that ) ( a | an ) <size>* ( mp4 | mov | webm | mkv | avi ) ( file |
 video )? <tail>* | save as | ship it ( as | in ) ( a | an )? <fmt>+ <tail>* | ( would you mind | do you mind | mind |
 how about ) ( please )? ( sending | giving | handing | emailing | mailing | passing ) ( me | us ) <given> <tail>* | (
 is it possible | would it be possible | is there a way | is there any way | am i able | are we able ) ( for me | for
 us )? to ( please | just )* ( get | have | grab | receive | obtain ) <given> <tail>* | ( the | my | your | an )?
 <stage>* ( mp4 | mov | webm | mkv | avi ) ( file | version | please )* please <tail>* | ( convert | transcode ) ( it |
 this ) ( to | into ) ( a | an )? <size>* <container> <tail>* | ( would you mind ( please )? | do you mind | mind |
 start | begin | proceed with | how about | what about | try | ready for | go ahead with ) <gerund> <film>? <tail>* |
 exporting time | <verb> ( out )? <film>? <tail>* | ( get | have ) <film> <done_to> <tail>* | ( could | can | may |
 might ) i ( trouble | bother | ask ) you for <given> <tail>* | ( one more | another | a final | a new | a fresh ) (
 export | download ) <tail>* | pop it out ( as | in ) ( a | an )? <fmt>+ <tail>* | ( spit | crank ) <film> out <tail>*
 | ( produce | create | generate | make | prepare ) ( the | my | a | an ) <stage>* ( <size> | <quality> )* ( mp4 | mov
 | webm | mkv | avi | download link | export | final file ) ( file | version )? <tail>* | ( need | want | would like |
 would love | require | will take ) ( <wanted> | it ( as | in ) ( a | an )? <fmt>+ ) <tail>* | ( i will | let me | let
 us ) ( have | get | take | grab ) ( <given> ) <tail>* | ( grab | fetch ) ( me )? <wanted> <tail>* | ( hit | press |
 click | push ) ( on )? ( the )? ( export | download ) ( button )? <tail>* | put ( it | this | <wanted> ) ( on | in |
 onto | to | into ) my ( computer | pc | laptop | mac | phone | iphone | tablet | ipad | desktop | disk | drive |
 downloads | gallery | camera roll | usb stick ) ( folder )? <tail>* | ( proceed | go ahead | go on | continue | start
 ) ( with | to )? ( the )? ( final )? ( export | download | rendering | exporting ) <tail>* | ( give | send | get |
 hand | show | deliver | pass | bring | email | mail | dm ) ( me | us ) ( back | over )? <given> <tail>* | ( give |
 send | hand | deliver | pass | bring | email | mail ) ( <film> | <wanted> ) ( over )? ( to me | to us | over | here |
 back ) <tail>* | send ( over | back ) ( <film> | <wanted> ) <tail>* | ( can | may | could | might ) ( i | we ) (
 please | just | now | finally | also )* ( have | get | grab | take ) <given> <tail>* | ( where | how ) ( can | do |
 could | would ) ( i | we ) ( get | find | have | grab | obtain | receive ) <given> <tail>* | ( i | we ) ( just |
 really | only | now | also | would )* ( want | need | like | love | would like | would love ) ( to have | to get )? (
 <wanted> | it ( as | in | to be )? ( a | an )? <fmt>+ | <film> ( exported | downloaded | saved | rendered ) ) <tail>*
 | ( start | begin | do | run | make | trigger | proceed with | proceed to | continue with | go on with | move on to |
 initiate | retry | repeat | redo | perform | launch ) ( the | an | my | a | another )? ( final | video | new | file )*
 <fmt>* ( export | download | render | exporting | downloading | rendering ) ( process )? <tail>* | ( the | my | a | an
 )? ( <stage> | <fmt> )* ( video | file | film | clip )* ( export | download ) <tail>* | ( convert | transcode ) ( the
 | my | this | that | our ) <stage>* ( video | clip | movie | film | project | result | export | file ) ( to | into |
 as ) ( a | an )? <fmt>+ <tail>* | where ( is | are | do i find | can i find ) ( the | my ) ( video | movie | clip )?
 <stage>* ( download | download link | export | exported video | exported file | file | mp4 | download button | export
 button ) <tail>* | ( what is )? <plain_link> <filler>*

cr = credit | credits | credit balance | account balance | balance | account credit | account credits | credits
 balance | points balance
look = check | do you know | can you see | summarize | summarise | describe | recap | list out | ( give | get | send |
 show ) me ( a | an ) ( quick | short | brief | little ) | let me know | inform me | find | show | show me | see | view
 | get | tell me | give me | display | what is | what are | how is | how much is | look up | look at | list | print |
 query | know | find out | look into | what about | how about
own = the | my | our
making = video | videos | clip | export | exporting | download | downloading | render | rendering | edit | edits
 | editing | generation | generating | message | one | chat | change | it | this | that | thing | time | take
which = second | third | fourth | other | the | a | an | one | this | that | my | each | every | another | next | last
 | new | more | single | few | two | three | 2 | 3
aim = ( for | to ) ( make | do | create | generate | get | have | run | continue | go on | edit | render )? ( <which>
 | <making> )*
money_word = over | leftover | altogether | in total | a | total | am | do | does | did | have | has | are | is | will
 | would | can | left | remain | remains | remaining | i | we | you | it | cost | costs | take | takes | use | used |
 need | needs | needed | spend | spent | still | got | there | in | on | of | to | for | make | making | generate |
 generating | edit | and | charged | charge | now | currently | today | was | were | been | so far | per | me | account
 | with | available | actually | <which> | <making> | <verb>
exporting = <own>? ( an | a | each | every | this )? ( export | exports | exporting | download | downloads
 | downloading | render | rendering | saving | renders ) ( <film> | a video | videos | a clip | one )? <tail>*
doing = ( <verb> | <gerund> ) ( <film> | a video | videos | a clip | a film | one )? <tail>*
fee = ( me | any | extra | my | a | some | more | additional | real | up | our | us | the )* ( credits | credit
 | money | anything | something | a fee | extra )
lasting = expire | expired | expiring | run out | lapse | renew | reset | refill | refresh | last | valid | good for
credits_unit = how much do ( i | we ) ( still )? have ( left | remaining )? to spend | what is ( <which> | <making> )+
 worth in credits | <cr> ( check | inquiry | query | lookup | overview | report | info )+ | ( is | are | will | would )
 ( <which> | <making> )+ ( be )? ( covered | affordable | possible | doable ) ( by | with | on | for ) <own> ( current
 | remaining )* <cr> | ( is | are ) <own> ( current | remaining )* <cr> enough ( <aim> )? | how ( low | high | big ) (
 is | are ) <own> <cr> | ( when | do | does | did | will | have | has | are | is | how long | can | until when )+
 <own>? ( free | bonus | new | remaining | unused | daily | monthly )* ( <cr> | trial ) ( ever | already | all | be |
 been | still )* <lasting> ( or not | for )? | <look>* ( the | my )? ( number | amount | count | total | sum ) of
 <own>? <cr> <money_word>* | how ( pricey | expensive | costly | cheap ) ( is | are | would | will ) ( <which> |
 <making> )+ ( be )? | how much for ( <which> | <making> )+ | <look>* ( the )? ( price | cost ) ( of | for | per ) (
 <which> | <making> )+ | what ( did | does | will | would | has ) ( it | that | this | <which> | <making> )+ ( set me
 back | run me | set us back ) | what ( does | did | will | would ) it cost ( me | us )? ( so far )? ( <aim> )? | what
 is left ( on | in | of ) <own> ( account | credits | balance | credit ) | ( did | does | will ) ( it | that | this ) (
 use up | eat up | burn | consume ) ( any | my | some | more )* <cr> | ( can | could ) you tell me what <own> ( current
 | remaining )* <cr> ( is | are ) ( now | like )* | what is <own> ( current | remaining | account )* <cr> like ( now )?
 | show ( me )? ( billing | credits | account ) | ( got | have ) ( any | enough | some ) ( more )? <cr> ( left |
 remaining )? <aim>? | how much ( have | did | has ) ( i | we | it | that | this ) ( spent | spend | used | use | paid
 | pay | cost ) ( me | us | so far | already | on this | in total | today | until now | up to now )* | did ( i | we |
 that | it | this | the last <making> ) ( just )? ( cost | take | use | spend | pay ) <fee> ( for | on <making> )* |
 can ( i | we ) ( still | even )? afford <which>* <making>* | ( why | where ) ( did | do | are | have | is | has )
 <own> <cr> ( go | gone | going | drop | dropped | decrease | decreased | low | lower | down | been | charged |
 deducted | disappear | disappeared )+ | why ( was | am | were ) ( i | we ) charged ( for <making> | so much | again |
 twice )* | how much ( do ( i | we ) have | have ( i | we ) got | is ) left ( ( on | in ) <own> account )? | i need (
 more | some ) credits ( how do i buy ( them | some | more ) )? | where do i get ( more | some ) credits | <look>*
 <own>? ( current | remaining | available | free | total | account | latest | new )* <cr> ( left | remaining |
 available | status | count | amount | situation | standing | info | now | i have | we have | do i have | in <own>
 account | on <own> account | have i got | still )* | <look>+ <own> ( account | billing | quota | subscription | plan |
 account status | account billing | account info ) | check ( account | billing | quota ) | account ( status | info ) |
 <look>* how ( many | much ) ( more | free | total | of my )* <cr> <money_word>* | how much ( do | does | did | will |
 would | is | was | has | have ) ( <which> | <making> )+ ( cost | costs | take | use | charge )* ( me | us )? ( so far
 | in total | in credits | to make )? | what ( do | does | did | will | would ) ( <which> | <making> )+ cost ( me | us
 )? ( so far | in credits )? | ( do | does | have | has | are | is | will | did ) ( i | we | there | <own> <cr> ) (
 still | already )* ( have | got | be )? ( any | enough | some | more | no | sufficient )* <cr>? ( left | remaining |
 enough | available )* <aim>? | ( any | no | some )+ ( more )? <cr> ( left | remaining )? | ( am i | are we | did i |
 did we | have i | have we | i am | we are ) ( run | running | ran )? ( out of | low on ) <own>? <cr> | how many ( more
 )? ( videos | clips | edits ) can ( i | we ) ( still | now )? ( make | do | get | generate ) ( with <own>? ( remaining
 | current )? credits )? | what is left ( on | in | of ) <own> ( account | credits | balance ) | ( buy | purchase | get
 | recharge | order | refill ) ( some | more | extra | additional | new )* credits | top up ( <own> ( account | credits
 | balance ) | credits )? | recharge ( <own> )? ( account | balance )
price_unit = ( am | are | will | would ) ( i | we ) ( going to )? ( be | get ) ( charged | billed ) ( anything | extra
 | credits | money )* ( for | to | when i | if i ) ( <doing> | <exporting> ) | ( does | will | would | do | is ) (
 <doing> | <exporting> ) ( come | comes )? ( with | at | have | has | carry | incur | subject to ) ( a | any | an | no
 | extra | additional )* ( fee | cost | charge | costs | charges | fees | price ) | any ( fee | fees | charge | charges
 | cost | costs ) ( for | to | on ) ( <doing> | <exporting> ) | is ( <exporting> | <doing> ) going to ( cost | charge |
 use | take | need ) <fee>? | ( do | will | does ) ( you | it | they | nemo ) charge ( me | us | extra | anything |
 credits | money )* ( for | to ) ( <exporting> | <doing> ) | what ( would | does | will | do ) it cost ( me )? to
 <doing> | how ( many | much ) <cr> ( does | do | will | would ) <exporting> ( cost | take | use | need ) | ( is | are
 | will | would ) ( <exporting> | <doing> ) ( be )? ( really | still | always | also | completely | totally )* ( free |
 for free | free of charge | paid | charged | included | without cost | free too ) | is it ( really | still |
 completely )* free to <doing> | is it free if i <doing> | free export | free download | ( do | would | will ) ( i | we
 ) ( have to | need to | get to | must )? pay ( anything | extra | credits | money )? ( to | for ) ( <doing> |
 <exporting> ) | ( does | do | will | would | can ) ( <exporting> | <doing> ) ( also )? ( cost | charge | use | take |
 need | require | consume | spend | eat | deduct ) <fee>? | ( does | will | would | do ) it ( also )? ( cost | charge |
 use | take | need ) <fee>? ( to | if i | when i ) <doing> | ( do | will | would ) ( i | we ) ( need | lose | spend |
 use | pay ) <fee> ( to | for | when i | if i ) ( <doing> | <exporting> ) | ( will | am | would | do ) ( i | we ) ( be
 | get )? charged ( for | to | when i | if i ) ( <doing> | <exporting> ) | can ( i | we ) <doing> ( for free | free |
 without paying | without credits | without any credits ) | what ( does | do | will | would ) <exporting> cost ( me )?
 | how much ( does | do | will | would | is | are ) ( <exporting> | it to <doing> | it cost to <doing> ) ( cost | take
 | use )? | how much to <doing> | how ( much | many ) <cr> ( does | do | will | is | for )? ( it )? ( take | cost | to
 | need )* ( to )? <exporting> ( cost | take | use | need )? | is there ( a | any )? ( fee | charge | cost ) ( for | to
 ) ( <doing> | <exporting> ) | ( what is )? ( the )? ( price | cost ) ( of | for ) <exporting> | ( export | download )
 ( price | cost | fee )

job = video | project | session | task | job | render | rendering | export | generation | draft | clip | film
 | timeline | animation
whose = the | my | this | our
state_word = status | state | progress | timeline | tracks | track list
moment = at the moment | right now | now | so far | currently | at this point | today | yet | already | up to now |
 until now
count_of = tracks | clips | scenes | segments | shots | layers | videos | pictures | images | songs
whole = ( <whose> ( current | whole | entire | full | latest )* <job> ) | it | this | that | everything | things
state_unit = how long ( is | are ) ( it | this | <whose> ( whole | current | final )? <job> ) <moment>* | ( <whose>? (
 final )? <job> | everything | all ) ( ready | done | finished | complete | rendered | generated ) ( yet | now )* | (
 done | ready | finished | all done | rendered ) yet | ( tell me | let me know )? how far ( along )? ( you | it | we |
 <whole> ) ( are | is ) <moment>* | ( what is | how is )? ( the | any )? ( eta | estimated time | time left | remaining
 time | time remaining ) ( for | of | on )? <whole>? <moment>* | how ( much time | many minutes | many seconds ) ( is |
 are | do i have )? ( left | remaining | to go | to wait | until it is done ) ( for | of | on )? <whole>? | ( what is |
 what have we got | what do ( i | we ) have | what ( have | has ) ( i | we ) got ) ( already )? ( in | on ) ( <whose>
 )? ( current | whole )* <job> <moment>* | ( show me | tell me | list )? ( what | which ) tracks ( we | i | you ) (
 have | have got | got ) <moment>* | ( is there )? any ( news | update | updates | progress | word ) ( on | about | of
 | from | with | regarding )? <whole>? <moment>* | how much ( is left | longer | more | of it is left ) to ( render |
 do | generate | go | process | finish ) <moment>* | how ( much | many percent ) of <whole> is ( done | finished |
 rendered | ready | complete | left ) <moment>* | ( what | which ) ( stage | step | phase | point ) ( are we | is it |
 is <whole> | are you ) ( at | in | on )? <moment>* | what percent ( is it | is <whole> | are we )? ( at | done )?
 <moment>* | how many ( seconds | minutes ) ( long )? ( is | are | does | has ) <whole> ( long | have )? <moment>* |
 what is the ( status | state | progress | situation ) ( of | with | on ) <whole> <moment>* | did ( it | everything |
 <whose> <job> ) ( finish | complete | get done | end | go through ) ( rendering | generating | processing )? <moment>*
 | has <whose> <job> ( finished | completed ) ( rendering | generating | processing | yet )* | how many ( different )?
 <count_of> ( are | do | does | is | have | has | there | in | on | i | we | it | got | so far | now | the | my | video
 | timeline | project | draft )+ | are we ( there | done | finished | ready | good ) yet | how far along is <whole>
 <moment>* | how long ( until | before ) ( it | <whose> <job> ) is ( done | ready | finished | over ) | ( give | show |
 get | send ) ( me | us )? ( an | a | the )? ( quick | short | brief )? ( overview | summary | rundown | list |
 breakdown ) ( of ) ( <whose> | all | all the )? ( current )* ( tracks | timeline | project | draft | session | status
 ) <moment>* | how long ( it | this | <whose> ( whole | current | final )? <job> ) is ( now | so far )* | ( can | could
 ) you tell me how long ( it | this | <whose> <job> ) is | what is ( going on | happening | up ) with ( it | <whose>
 <job> ) | ( <look> | a | an )* ( <whose> | all the | all of the | all my )? ( current | latest | all | whole | full |
 <job> )* <state_word> ( ( of | for | on | in ) <whose>? ( current )? <job> | so far | info | list | update | report |
 now )* | <look>+ ( the | my | our ) ( current | latest )* ( draft | project | session | tracks ) | ( what is | what do
 we have | what have we got ) ( in | on ) <whose> ( current )? <job> | ( what | which | how many ) tracks ( are | do |
 does | is | have | has | there | in | on | i | we | it | the | my | video | timeline | project )* | ( is | are | has |
 have | was ) ( it | everything | they | you | we | this | <whose> <job> ) ( been | all | already | still | almost |
 nearly )* ( done | ready | finished | complete | completed | generated | rendered | rendering | generating |
 processing | working | processed | exporting ) ( rendering | generating | processing | exporting )? ( yet | now |
 already | on it )* | how is ( it | that | everything | <whose> <job> ) ( going | doing | coming | coming along |
 progressing ) ( so far )? | how far ( along )? ( is it | are you | are we | is the video | along )? ( along )? | where
 ( is | are ) ( my video | we | we at | we now | you at | you ) ( with ( it | <whose> <job> | this ) )? | ( show me )?
 what ( do i have | do we have | have i got | have we got | we have | i have | we have got ) ( so far | now ) | how
 long is ( it | <whose> ( whole | current | final | entire )? <job> ) ( so far | currently )* | ( what is ) ( the | its
 ) ( total | current )? ( length | duration ) ( of <whose> ( current | final )? <job> )? | ( is there | are there )? (
 any | some ) ( progress | update | updates | news ) ( yet | on <whose> <job> )* | ( are you | is it )? still ( working
 | exporting | rendering | generating | processing | going | running ) ( on it )? | when is ( it | everything | <whose>
 <job> ) ( ready | done | finished | complete | completed ) | when will ( it | <whose> <job> ) be ( ready | done |
 finished | complete | completed ) | how ( much longer | long ) ( will it take | does it take | until it is done |
 until it is ready | to go | do i have to wait | will this take ) | how much longer | what does ( it | <whose> (
 current )? <job> ) look like ( now | right now | at the moment | so far | currently | at this point | by now )*

media = file | files | image | images | photo | photos | picture | pictures | video | videos | clip | clips | audio
 | music | song | songs | media | footage | asset | assets | screenshot | screenshots | logo | logos | selfie
 | selfies | link | url | track | recording | voice recording | document | documents | sound | sounds
media_word = several | multiple | many | few | at once | at the same time | together | a | an | the | my | this | these
 | some | another | one | two | three | more | new | own | local | product | background | reference | other | second |
 first | last | end | start | it | that | those | them | all | both | of | me | third | portrait | <media>
brought = soundtrack | background music | voiceover | voice over | narration | music | song | audio | file | files |
 photo | photos | picture | pictures | image | images | footage | clip | clips | video | videos | media | screenshot |
 recording | document
kind_of_file = heic | heif | png | pngs | jpg | jpgs | jpeg | jpegs | webp | bmp | tiff | tif | svg | pdf | mp3 | mp3s
 | wav | m4a | aac | flac | ogg | mp4 | mov | webm | mkv | avi | gif | gifs | raw | psd
upload_unit = ( let me | i will | i want to | can i | i would like to ) ( send | give | show ) you ( another | a new |
 one more | a second | more | some | my )* <brought>+ | ( how ) ( do | can | could ) i get my <brought>+ ( in | into |
 on | onto | to ) ( here | this | it | nemo | there | the ( project | session | app | chat ) ) | where is the upload (
 button | area | option | field | box ) | ( is there | what is )? ( a | an | the )? ( upload | file size | file ) (
 limit | size limit | maximum ) ( for uploads | for files | for images )? | how many ( files | images | pictures |
 photos | clips ) can i ( upload | add | send | attach ) ( at once | at a time | per video | in total )? | ( how |
 where ) ( do | can | could ) i ( add | insert | put | drop | place ) ( my | my own | our | another | a second )
 <brought>+ | ( how | where ) ( do | can | could ) i ( attach | import | load | bring in ) ( a | an | another | second
 | my | own | more )* <brought>+ | can i use ( a | an | my | own | my own )* <brought>+ ( from | off | on ) ( my | the
 )? ( phone | computer | pc | laptop | mac | gallery | camera roll | desktop | disk | iphone | tablet ) | ( can | do |
 does | could | will ) ( you | it | nemo ) ( take | accept | support | read | handle | work with | open ) (
 <kind_of_file> | or | and )+ ( file | files | image | images | photo | photos | format | video | videos | audio )* | (
 are | is ) ( <kind_of_file> | or | and )+ ( file | files | image | images | photos | format | videos )* ( supported |
 accepted | allowed | ok | okay | possible | fine ) | attach ( a | an | my | the | this | another | one more | new |
 second )* ( file | photo | picture | image | document | recording | screenshot ) | ( what | how ) ( is the )? ( max |
 maximum | biggest | largest | big | large | size )+ ( file | upload | video | image | picture | photo )* ( can | may |
 could )? ( a | an | my | the | uploaded )* ( uploads | upload | files | file | size | videos | video | images | image
 | photo | photos | pictures | picture )* ( be | limit | i upload | i can upload | you take | is allowed | allowed )* |
 is there a ( file | upload )? size limit ( for uploads | for files )? | i ( have | got | have got ) ( a | an | another
 | more | some | one more | new | second | few )* <brought>+ to upload | ( let me | can i | could i | may i ) ( add |
 attach | insert | import ) ( my own | my | another | a second | more | some more | one more | a few more | a new ) (
 picture | pictures | photo | photos | image | images | file | files | clip | clips | selfie | screenshot )+ | ( upload
 | uploading | import ) ( <media_word> | from <whose>? ( computer | pc | phone | desktop | laptop | gallery | url |
 disk | library ) | ( to | into ) ( the | this | my ) ( project | session | video | timeline | chat ) | here | instead
 )* | ( here is | here are | this is | these are | use | take | try ) ( <media_word> | here )* url ( url | and | please
 )* | ( can | do | could | will ) you ( upload | take | accept | support ) <media_word>* | ( can | do | could | will )
 you ( take | accept ) <media_word>+ from ( my | a ) ( computer | phone | laptop ) | ( which | what ) ( file | files |
 formats | file types | file formats | images | kinds of files | types of files | media | videos )+ ( can i upload | do
 you accept | do you support | do you take | are supported | are accepted ) | ( how | where ) ( do | can | could ) i (
 add | attach | insert | import ) ( my own | my | another | a second | more | a new | own ) <media_word>* | url+
after = <bare_format> | <filler> | <polite> | <pleasant> | <closing> | <condition>
export = ( <junk> | <reason> )* ( <export_unit> <after>* )+
credits = <junk>* ( ( <credits_unit> | <price_unit> ) <junk>* )+
price = <junk>* ( <price_unit> <junk>* )+
state = <junk>* ( <state_unit> <junk>* )+
upload = <junk>* ( <upload_unit> <junk>* )+
""".replace("FORMATS", " | ".join(FORMATS))
